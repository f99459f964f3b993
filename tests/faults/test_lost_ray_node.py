"""A Ray node is lost: its work goes to others, a worker comes in its place, and no bit changes.

`tests/benchmarks/engines/test_ray.py` takes a node away from a cluster that runs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.engines.runner import run_matrix
from tests.benchmarks.engines.fake_ray import FakeRay
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config, counts, run

errors = pytest.importorskip("ray", reason="Ray is not installed").exceptions

LOSSES: Sequence[Callable[[], Exception]] = [
    errors.ActorDiedError,
    lambda: errors.ActorUnavailableError("it cannot be reached", None),
    lambda: errors.NodeDiedError("no heartbeat"),
    errors.LocalRayletDiedError,
    lambda: errors.OutOfMemoryError("its node ran out of memory"),
    lambda: errors.ObjectLostError("00", None, ""),
    lambda: errors.OwnerDiedError("00", None, ""),
]


class Watch(Quiet):
    """Looks, while the run goes on, whether what is lost is let go."""

    def __init__(self, ray: FakeRay) -> None:
        super().__init__()
        self.ray = ray

    def advanced(self, episodes: int) -> None:
        # A worker that only cannot be reached would keep its GPU.
        assert [own.killed for own in self.ray.actors] == [own.lost for own in self.ray.actors]


def test_however_ray_says_so_the_run_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(errors, {7 * (number + 1): loss() for number, loss in enumerate(LOSSES)})
    monkeypatch.setattr("benchmarks.engines.ray_cluster._imported", lambda: ray)
    listener = Watch(ray)
    wanted = config(root, tmp_path / "ray", engine="ray", workers=2, batch_size=1)
    assert run_matrix(wanted, listener=listener)[0].status == "measured"
    assert len([note for note in listener.notes if "is lost" in note]) == len(LOSSES)
    assert len(ray.actors) == 2 + len(LOSSES)
    run(root, tmp_path / "alone", batch_size=1)
    assert counts(tmp_path / "ray") == counts(tmp_path / "alone")
