"""All that only a GPU can show, in ten minutes: `python -m tests.gpu.battery`.

Every check is tried by itself, and what it found, or why it failed, is written at once, so that a
battery that is cut short still reports. On a CPU all of it runs at tiny size, and the report says
what it could not see. Full size wants 30 GB below TMPDIR, for the checkpoint that training starts
from and those that it writes.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from datasets_prep.builder import BuilderOptions
from datasets_prep.datasets.shapes import Shapes
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from tests.gpu import masks, memory, speed, training, workers
from tests.gpu.machine import Machine
from tests.gpu.report import markdown

Check = Callable[[Machine], dict[str, object]]
CHECKS: Mapping[str, Check] = {
    "cache": memory.cache,
    "out of memory": memory.out_of_memory,
    "two workers": workers.two_workers,
    "speed bf16": lambda machine: speed.stages(machine, "bf16"),
    "speed fp16": lambda machine: speed.stages(machine, "fp16"),
    "training": training.training,
    **{
        f"masks {name}": lambda machine, name=name: masks.masks(machine, name)  # type: ignore[misc]
        for name in masks.names()
    },
}


def tried(name: str, machine: Machine) -> dict[str, object]:
    """One check: what it found, with `ok`, `seconds`, and `error` where it broke."""
    begin = time.perf_counter()
    try:
        found = CHECKS[name](machine)
    except Exception as error:  # the next check shall run whatever this one met
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        found = {"ok": False, "error": f"{type(error).__name__}: {lines[0][:300]}"}
    machine.forget()
    return {**found, "seconds": round(time.perf_counter() - begin, 1)}


def battery(
    machine: Machine,
    names: Sequence[str],
    budget: float,
    write: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Run checks until the time is over, and `write` the report after each."""
    begin = time.perf_counter()
    checks: dict[str, object] = {}
    report: dict[str, Any] = {
        "machine": machine.describe(),
        "full": machine.full,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "checks": checks,
    }
    for name in names:
        if time.perf_counter() - begin > budget:
            checks[name] = {"ok": False, "error": f"not tried: {budget:.0f} s were over"}
        else:
            checks[name] = tried(name, machine)
        print(f"{name}: {json.dumps(checks[name])}", file=sys.stderr, flush=True)
        report["seconds"] = round(time.perf_counter() - begin)
        write(report)
    return report


def main() -> int:
    """Command line; 1 if a check is not ok."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for the tiny size")
    parser.add_argument("--tiny", action="store_true", help="tiny networks on a GPU too")
    parser.add_argument("--only", nargs="*", help="checks whose names begin so")
    parser.add_argument("--budget", type=float, default=480, help="seconds after which none begins")
    parser.add_argument("--json", type=Path, default=Path("build/gpu.json"))
    parser.add_argument("--markdown", type=Path, default=Path("build/gpu.md"))
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} sees none; --device cpu runs the tiny size")
        return 2
    names = [n for n in CHECKS if not given.only or any(n.startswith(part) for part in given.only)]

    def write(report: dict[str, Any]) -> None:
        for path, text in (
            (given.json, json.dumps(report, indent=1) + "\n"),
            (given.markdown, markdown(report)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare(Shapes(BuilderOptions()), PrepareOptions(data))
        machine = Machine(device, device.type == "cuda" and not given.tiny, data, Path(folder))
        report = battery(machine, names, given.budget, write)
    bad = [name for name in names if not report["checks"][name]["ok"]]
    not_ok = f"; not: {', '.join(bad)}" if bad else ""
    print(f"{len(names) - len(bad)} of {len(names)} ok{not_ok}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
