"""A real Ray cluster of two nodes on this machine, one of which is lost in the middle."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.config import ModelConfig
from benchmarks.engines import hire
from benchmarks.engines.on_ray import RayCrew
from benchmarks.errors import BenchError
from benchmarks.runner import run_matrix
from tests.benchmarks.engines.test_local import ONE_RUN, areas, breaking, config
from tests.benchmarks.test_evaluator import Quiet
from tests.tiny import tiny_dataset

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'fss-bench[ray]'")
MEMORY = 80 * 2**20  # bytes of a node's object store, the least that Ray takes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    tiny_dataset(folder / "data")
    return folder


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Any]]:
    """The cluster; the second node may be removed."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False},
    )
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    yield [cluster, second]
    ray.shutdown()
    cluster.shutdown()


class LosesANode(Quiet):
    """Takes the second node away when both workers have been at work for some batches."""

    def __init__(self, nodes: list[Any], marks: Path) -> None:
        super().__init__()
        self.nodes, self.marks, self.batches = nodes, marks, 0

    def advanced(self, episodes: int) -> None:
        self.batches += len(list(self.marks.glob("loaded-*"))) == 2
        if self.batches == 8:
            self.nodes[0].remove_node(self.nodes[1], allow_graceful=False)


def test_a_worker_with_other_code_is_refused(
    root: Path, tmp_path: Path, nodes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.environment.code", lambda: "fss-bench 9.9.9, sources 0123456789abcdef"
    )
    wanted = config(root, tmp_path, engine="ray", workers=1, datasets=ONE_RUN)
    with pytest.raises(BenchError, match=r"runs fss-bench 0\.1\.0, .* here it is fss-bench 9\.9"):
        run_matrix(wanted, listener=Quiet())


def test_a_lost_node_changes_no_bit(root: Path, tmp_path: Path, nodes: list[Any]) -> None:
    alone = config(root, tmp_path / "alone", datasets=ONE_RUN, limit=240)
    expected = areas(alone, run_matrix(alone, listener=Quiet()))
    marks = tmp_path / "marks"
    wanted = alone.model_copy(
        update={
            "results_root": tmp_path / "ray",
            "engine": "ray",
            "workers": 2,
            "models": (ModelConfig(**breaking("Killed", marks, times=0, pause=0.05)[0]),),
        }
    )
    listener = LosesANode(nodes, marks)
    crew = hire(wanted)
    assert isinstance(crew, RayCrew)
    while len(crew.hosts) < 2:
        crew.wait(1.0)
    outcomes = run_matrix(wanted, listener=listener, crew=crew)
    assert areas(wanted, outcomes) == expected
    assert listener.batches >= 8
    assert len([note for note in listener.notes if "is lost" in note]) == 1
    record = outcomes[0].record
    assert record is not None and (record.engine, record.workers) == ("ray", 2)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    from benchmarks.engines.on_ray import _imported

    with pytest.raises(BenchError, match=r"pip install 'fss-bench\[ray\]'"):
        _imported()
