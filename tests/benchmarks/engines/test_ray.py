"""A real Ray cluster of two nodes on this machine, one of which is lost in the middle."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.schema import BenchConfig, ModelConfig
from benchmarks.engines import make_executor
from benchmarks.engines.ray_cluster import RayExecutor, _connect, _imported
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results.records import read_record
from benchmarks.results.store import find_runs
from tests.benchmarks.engines.test_local import ONE_RUN, areas, breaking, config
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
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
    """The cluster, its second node, which may be removed, and the port for clients."""
    from ray.cluster_utils import Cluster

    # With the niceness that Ray gives its workers all other tests would go first.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
    os.environ["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "200"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": MEMORY})
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    yield [cluster, second, port]
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


def test_a_run_through_the_client_ends_as_one_process_does(
    root: Path, tmp_path: Path, nodes: list[Any]
) -> None:
    """A runner that is no part of the cluster, as `--address ray://head:10001` has it."""
    pytest.importorskip("grpc", reason="Ray's client is not installed; pip install 'ray[client]'")
    alone = config(root, tmp_path / "alone", datasets=ONE_RUN, limit=24)
    expected = areas(alone, run_matrix(alone, listener=Quiet()))
    command = ["run", "--engine", "ray", "--address", f"ray://127.0.0.1:{nodes[2]}"]
    command += ["--workers", "1", "--device", "cpu", "--data-root", str(root / "data"), "--quiet"]
    command += ["--model-from", "tests.tiny:ColourModel", "--name", "colour", "--limit", "24"]
    command += ["--datasets", "tiny", "--shots", "1", "--folds", "0"]
    for patience in (60, 60, 120):
        # Ray's proxy forks beside threads of gRPC, which its child does not always survive; the
        # client then waits for minutes.
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [sys.executable, "-c", "from benchmarks.cli import main; main()", *command],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
                timeout=patience,
            )
            assert done.returncode == 0
            break
    (key,) = find_runs(tmp_path / "results")
    assert [areas_of(tmp_path / "results", key)] == expected
    record = read_record(key.folder(tmp_path / "results") / "run.json")
    assert (record.engine, record.workers) == ("ray", 1)


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
    executor = make_executor(wanted)
    assert isinstance(executor, RayExecutor)
    while len(executor.hosts) < 2:
        executor.wait(1.0)
    outcomes = run_matrix(wanted, listener=listener, executor=executor)
    assert areas(wanted, outcomes) == expected
    assert listener.batches >= 8
    assert len([note for note in listener.notes if "is lost" in note]) == 1
    record = outcomes[0].record
    assert record is not None and (record.engine, record.workers) == ("ray", 2)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchError, match=r"pip install 'fss-bench\[ray\]'"):
        _imported()


@pytest.mark.parametrize("device", ["cuda:0", "cuad"])
def test_a_single_device_of_a_cluster_cannot_be_named(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 4, "CPU": 8})
    with pytest.raises(BenchError, match=f"--device auto, cpu or cuda, not '{device}'"):
        RayExecutor(BenchConfig(engine="ray", device=device), [], {})


def test_a_cluster_of_its_own_is_no_other_that_is_named_somewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private.services import canonicalize_bootstrap_address

    joined = []

    def init(address: str, **options: object) -> None:
        joined.append(canonicalize_bootstrap_address(address))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "10.1.2.3:6379")
    _connect(ray, BenchConfig(engine="ray"))
    _connect(ray, BenchConfig(engine="ray", address="auto"))
    assert joined == [None, "10.1.2.3:6379"]


@pytest.mark.parametrize(("aborted", "joins"), [(2, True), (3, False)])
def test_a_server_that_dies_as_it_starts_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, aborted: int, joins: bool
) -> None:
    asked = []

    def init(address: str, **options: object) -> None:
        asked.append(address)
        if len(asked) <= aborted:
            raise ConnectionAbortedError("Traceback:\n  line\npsutil.ZombieProcess: pid=3718")

    monkeypatch.setattr(ray, "init", init)
    config = BenchConfig(engine="ray", address="ray://head:10001")
    with nullcontext() if joins else pytest.raises(BenchError) as caught:
        _connect(ray, config)
    assert asked == ["ray://head:10001"] * 3
    if caught:
        assert str(caught.value).startswith(
            "no Ray cluster at ray://head:10001: psutil.ZombieProcess: pid=3718; start one with"
        )


def test_a_cluster_that_is_not_there_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def init(address: str, **options: object) -> None:
        asked.append(address)
        raise ConnectionError("ray client connection timeout")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(BenchError, match="no Ray cluster at ray://head:10001: ray client"):
        _connect(ray, BenchConfig(engine="ray", address="ray://head:10001"))
    assert len(asked) == 1
