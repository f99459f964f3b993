"""Every model's masks on CPU and device in fp32, and what bf16 does to its mIoU."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.evaluation.intervals import interval
from benchmarks.results import figures
from models.catalog import GROUPS, MODELS, tiny_options
from tests.gpu.machine import Machine
from tests.gpu.runs import config, different_pixels, run

TOLERATED = 1e-5
# Their published weights may not be here; what they compute is the same with random ones.
_RANDOM: Mapping[str, Mapping[str, Any]] = {
    "prototype": {"weights": "random", "size": 128},
    "dense-nn": {"weights": "random", "size": 128},
}


def names() -> list[str]:
    """Models of the catalogue that compute on the device."""
    return [name for name in MODELS if name not in GROUPS["floors"]]


def options(name: str) -> dict[str, Any]:
    """What makes a model small, and independent of downloads."""
    return dict(_RANDOM.get(name, tiny_options(name) or {}))


def exactly() -> None:
    """No TF32: fp32 is to be fp32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def masks(machine: Machine, name: str) -> dict[str, object]:
    """One model: pixels that differ between CPU and device, and bf16's difference in mIoU."""
    exactly()
    device = str(machine.device)
    episodes, many = (20, 100) if machine.gpu else (4, 4)
    model = {"name": name, "options": options(name)}
    saved = {"save_predictions": True}
    ours = config(machine, f"masks/{name}/device", device, episodes, [model], **saved)
    theirs = config(machine, f"masks/{name}/cpu", "cpu", episodes, [model], **saved)
    run(ours)
    run(theirs)
    different, pixels = different_pixels(ours, theirs, name)
    found: dict[str, object] = {
        "model": name,
        "pixels": pixels,
        "different": different,
        "ok": different <= max(1, TOLERATED * pixels),
    }
    full = run(config(machine, f"masks/{name}/fp32", device, many, [model]))[0]
    try:
        half = run(config(machine, f"masks/{name}/bf16", device, many, [model], dtype="bf16"))[0]
    except Exception as error:  # fp32's finding is worth keeping
        reason = str(error).strip().splitlines() or [""]
        return found | {"bf16": f"{type(error).__name__}: {reason[0][:200]}", "ok": False}
    one, other = figures.draws([half, full])
    between = interval(np.asarray(one.miou) - np.asarray(other.miou))
    difference = figures.miou(half) - figures.miou(full)
    found |= {
        "episodes": many,
        "bf16 - fp32, mIoU points": round(100 * difference, 2),
        "95%": f"{100 * between.low:+.2f} to {100 * between.high:+.2f}",
    }
    machine.forget()
    return found
