"""Two versions of the package on the workers: none of the other's counts is taken.

Shards that two versions measured are refused by `bench merge`: `tests/benchmarks/test_shards.py`.
"""

from pathlib import Path

import pytest

from benchmarks import environment
from benchmarks.engines.on_ray import Actor
from benchmarks.errors import BenchError
from benchmarks.runner import run_matrix
from benchmarks.store import find_runs
from tests.benchmarks.engines.fake_ray import FakeRay
from tests.benchmarks.test_evaluator import Quiet
from tests.faults.runs import config


def test_a_worker_with_another_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.engines.on_ray._imported", FakeRay)
    codes = iter([environment.code(), "fss-bench 9.9.9, sources 0123456789abcdef"])
    monkeypatch.setattr(Actor, "who", lambda self: (next(codes), "node7, process 12"))
    wanted = config(root, tmp_path, engine="ray", workers=2)
    said = r"the worker on node7, .* runs fss-bench 9\.9\.9, .*, here it is fss-bench \d.*install"
    with pytest.raises(BenchError, match=said):
        run_matrix(wanted, listener=Quiet())
    assert find_runs(tmp_path) == []
