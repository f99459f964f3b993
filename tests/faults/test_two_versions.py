"""Two versions of the package on the workers, or two datasets: none of the other's counts is taken.

Shards that two versions measured are refused by `bench merge`: `tests/benchmarks/test_shards.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.config.schema import BenchConfig
from benchmarks.engines import Executor, make_executor
from benchmarks.engines.messages import Load, Loaded
from benchmarks.engines.runner import run_matrix
from benchmarks.engines.worker import Worker
from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.store import find_runs
from tests.benchmarks.engines.fake_ray import FakeRay
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worker_with_another_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    def newer_executor(config: BenchConfig) -> Executor:
        newer = {**environment.program(), "fss-bench": "9.9.9"}
        with monkeypatch.context() as patched:
            patched.setattr(environment, "program", lambda: newer)
            return make_executor(config)

    monkeypatch.setattr("benchmarks.engines.ray_cluster._imported", FakeRay)
    monkeypatch.setattr("benchmarks.engines.runner.make_executor", newer_executor)
    wanted = config(root, tmp_path, engine=engine, workers=2, device="cpu")
    said = (
        r"the worker on .*, process \d+ runs fss-bench \d.*, the runner 9\.9\.9; install the same"
    )
    with pytest.raises(BenchError, match=said):
        run_matrix(wanted, listener=Quiet())
    assert find_runs(tmp_path) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            lambda own: {"digests": {"tiny": "f" * 64}},
            r"a worker finds dataset 'tiny' with digest f{64}, here it has [0-9a-f]{64}; prepare",
        ),
        (
            lambda own: {"batch_size": own.batch_size + 1},
            r"workers differ in what they loaded for model 'colour' \(batch_size\); give all",
        ),
        (
            lambda own: {
                "records": {
                    name: record.model_copy(update={"source_digest": "f" * 64})
                    for name, record in own.records.items()
                }
            },
            r"workers differ in what they loaded for model 'colour' \(records\); give all",
        ),
    ],
)
def test_a_worker_that_loads_something_else_is_refused(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    other: Callable[[Loaded], dict[str, object]],
    said: str,
) -> None:
    monkeypatch.setattr("benchmarks.engines.ray_cluster._imported", FakeRay)
    load, first = Worker._load, []

    def differently(worker: Worker, task: Load) -> Loaded:
        loaded = load(worker, task)
        if not first:
            first.append(loaded)
            return loaded
        return replace(loaded, **other(loaded))  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "_load", differently)
    with pytest.raises(BenchError, match=said):
        run_matrix(config(root, tmp_path, engine="ray", workers=2), listener=Quiet())
    assert find_runs(tmp_path) == []
