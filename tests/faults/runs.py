"""One small run: one fold, one shot, 40 episodes."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.run import Outcome
from benchmarks.engines.runner import run_matrix
from benchmarks.results.store import RunKey
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
from tests.tiny import tiny_config

EPISODES = 40
KEY = RunKey("tiny", f"fixed-v1-first{EPISODES}", "colour", 0, 1)


def config(root: Path, results: Path, model: str | None = None, **changes: object) -> BenchConfig:
    """The run's configuration, of the colour model or another class under its name."""
    given: dict[str, object] = {
        "results_root": results,
        "limit": EPISODES,
        "datasets": [{"name": "tiny", "shots": [1], "folds": [0]}],
        **changes,
    }
    if model is not None:
        given["models"] = [{"name": "colour", "model": model}]
    return tiny_config(root, **given)


def run(root: Path, results: Path, model: str | None = None, **changes: object) -> Outcome:
    """Run it in this process, or go on with it."""
    return run_matrix(config(root, results, model, **changes), listener=Quiet())[0]


def counts(results: Path) -> list[list[int]]:
    """What its finished result holds: episode, class and areas."""
    return areas_of(results, KEY)


def files(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
