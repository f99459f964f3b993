"""Twenty steps of the paper's training, with accelerate."""

import csv
import importlib.util
import statistics

from benchmarks.train.job import load_job
from benchmarks.train.launch import Places, run_job
from datasets_prep.runtime.progress import SILENT
from models.methods.diffews.parts import save_parts
from models.methods.diffews.synthetic import untrained_parts
from tests.gpu.machine import Machine

STEPS = 20


def training(machine: Machine) -> dict[str, object]:
    """The preset `coco20i` on `shapes`, from untrained weights of the full size."""
    start = machine.scratch / "start"
    save_parts(untrained_parts("sd21" if machine.full else "tiny", 0, 77), None, start)
    eight = importlib.util.find_spec("bitsandbytes") is not None and machine.gpu
    changes = {"train.steps": str(STEPS), "train.save_every": "100", "validation": "0"}
    if not eight:
        changes["train.adam8bit"] = "false"
    if not machine.full:
        changes |= {"resolution": "64", "train.batch_size": "2", "train.accumulate": "2"}
    if not machine.gpu:
        changes["train.precision"] = "'no'"  # in YAML, a bare no is False
    job = load_job("coco20i", changes)
    out = machine.scratch / "trained"
    places = Places(machine.data, "shapes", 0, start, None, None, out)

    def train() -> None:
        run_job("diffews", job, places, SILENT, device="cuda" if machine.gpu else "cpu")

    peak = machine.peak_gib(train)
    with (out / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    # The first steps pay for what happens once.
    seconds = statistics.median(float(row["seconds"]) for row in rows[3:])
    machine.forget()
    return {
        "resolution": job.resolution,
        "episodes a step": job.train.batch_size,
        "precision": job.train.precision,
        "AdamW": "8-bit" if eight else "32-bit: bitsandbytes is not here, or this is no GPU",
        "seconds a step": round(seconds, 3),
        "hours for the preset's steps": (
            round(seconds * load_job("coco20i", {}).train.steps / 3600, 2) if machine.full else None
        ),
        "GiB at most": peak,
        "loss, first and last five": [
            round(statistics.mean(part), 4) for part in (losses[:5], losses[-5:])
        ],
        "ok": len(losses) == STEPS and all(loss == loss for loss in losses),
    }
