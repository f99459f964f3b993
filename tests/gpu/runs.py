"""Short runs of the evaluator on `shapes`, on the CPU and on the device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results.store import Result, RunKey, protocol_folder, read_result
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.gpu.machine import Machine


def config(
    machine: Machine, name: str, device: str, limit: int, models: Sequence[Any], **more: Any
) -> BenchConfig:
    """Fold 0 of `shapes`, 1-shot, its first episodes; results go to a folder `name`."""
    return BenchConfig.model_validate(
        {
            "data_root": machine.data,
            "results_root": machine.scratch / name,
            "device": device,
            "limit": limit,
            "datasets": [{"name": "shapes", "folds": [0], "shots": [1]}],
            "models": list(models),
            **more,
        }
    )


def run(wanted: BenchConfig, executor: Any = None) -> tuple[Result, Quiet]:
    """Run one model and read its result.

    Raises:
        BenchError: if it has none, naming the first episode that failed.
    """
    listener = Quiet()
    outcome = run_matrix(wanted, resume="fresh", listener=listener, executor=executor)[0]
    if outcome.record is None:
        raise BenchError(str(outcome.unfinished))
    return read_result(wanted.results_root, outcome.key), listener


def counts(result: Result) -> list[list[int]]:
    """Class and areas of every episode."""
    return [list(map(int, row)) for row in result.counts.areas]


def different_pixels(a: BenchConfig, b: BenchConfig, name: str) -> tuple[int, int]:
    """Pixels in which two runs' saved masks differ, and all pixels."""
    different = total = 0
    protocol = protocol_folder(a.datasets[0].protocol, a.limit)
    key = RunKey("shapes", protocol, name, 0, 1)
    folder = key.folder(a.results_root) / "predictions"
    paths = sorted(folder.rglob("*.png"))
    if not paths:
        raise BenchError(f"no masks in {folder}")
    for path in paths:
        other = key.folder(b.results_root) / "predictions" / path.relative_to(folder)
        first, second = (np.asarray(Image.open(p)) for p in (path, other))
        different += int((first != second).sum())
        total += first.size
    return different, total
