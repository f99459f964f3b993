"""Worker processes: the same result as one process, whatever happens to them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from benchmarks.config.matrix import cells
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.executor import _devices, _share
from benchmarks.engines.local import LocalExecutor
from benchmarks.engines.messages import Event
from benchmarks.engines.run import Outcome
from benchmarks.engines.runner import LeftOut, run_matrix
from benchmarks.engines.worker_process import Place
from benchmarks.errors import BenchError
from benchmarks.evaluation.extras import episode_seed
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
from tests.tiny import tiny_config, tiny_dataset

ONE_RUN = [{"name": "tiny", "shots": [1], "folds": [0]}]
Areas = list[list[list[int]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    tiny_dataset(folder / "data")
    return folder


@pytest.fixture(scope="module")
def alone(root: Path) -> Areas:
    """What one process measures."""
    wanted = config(root, root / "alone")
    return areas(wanted, run_matrix(wanted, listener=Quiet()))


def config(root: Path, results: Path, **changes: object) -> BenchConfig:
    return tiny_config(root, **{"results_root": results, "limit": 90, **changes})


def areas(wanted: BenchConfig, outcomes: Sequence[Outcome]) -> Areas:
    return [areas_of(wanted.results_root, outcome.key) for outcome in outcomes]


def breaking(kind: str, folder: Path, **options: object) -> list[dict[str, object]]:
    model = f"tests.benchmarks.engines.broken:{kind}"
    folder.mkdir()
    return [{"name": "colour", "model": model, "options": {"folder": str(folder), **options}}]


@pytest.fixture
def punctual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody begins before all workers have loaded their model."""
    wait = LocalExecutor.wait
    loaded: list[Event] = []

    def all_first(self: LocalExecutor, seconds: float | None) -> Sequence[Event]:
        if loaded:
            return wait(self, seconds)
        while len(loaded) < self.size:
            loaded.extend(wait(self, None))
        return loaded

    monkeypatch.setattr(LocalExecutor, "wait", all_first)


@pytest.mark.usefixtures("punctual")
def test_two_workers_measure_what_one_does(root: Path, tmp_path: Path, alone: Areas) -> None:
    wanted = config(root, tmp_path / "results", workers=2, save_predictions=True)
    outcomes = run_matrix(wanted, listener=Quiet())
    assert areas(wanted, outcomes) == alone
    for outcome in outcomes:
        assert outcome.record is not None
        # On a busy machine one worker may have done all before the other is there.
        assert outcome.record.engine == "local" and 1 <= outcome.record.workers <= 2
        folder = outcome.key.folder(wanted.results_root)
        assert len(list((folder / "predictions").glob("*.png"))) == 90


class StopAfter(Quiet):
    """Ctrl-C after so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches

    def advanced(self, episodes: int) -> None:
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt


def test_a_run_goes_on_with_any_number_of_workers(root: Path, tmp_path: Path, alone: Areas) -> None:
    results = tmp_path / "results"
    for workers, batches in ((2, 17), (1, 25), (3, 9)):
        with pytest.raises(KeyboardInterrupt):
            run_matrix(config(root, results, workers=workers), listener=StopAfter(batches))
    wanted = config(root, results, workers=2)
    outcomes = run_matrix(wanted, listener=Quiet())
    assert areas(wanted, outcomes) == alone
    assert outcomes[0].record is not None
    assert outcomes[0].record.sittings + (outcomes[0].status == "already complete") > 1


def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    root: Path, tmp_path: Path, alone: Areas
) -> None:
    marks, listener = tmp_path / "marks", Quiet()
    wanted = config(root, tmp_path / "r", workers=2, models=breaking("Killed", marks, times=2))
    assert areas(wanted, run_matrix(wanted, listener=listener)) == alone
    assert sorted(path.name for path in marks.glob("broke-*")) == ["broke-0", "broke-1"]
    assert len([note for note in listener.notes if "killed by signal 9" in note]) == 2


def test_a_batch_that_kills_every_worker_ends_the_run(root: Path, tmp_path: Path) -> None:
    lists = next(cells(config(root, tmp_path, datasets=ONE_RUN)))
    model = "tests.benchmarks.engines.broken:Deadly"
    deadly = [
        {
            "name": "deadly",
            "model": model,
            "options": {"seed": episode_seed(lists.record.digest, 5)},
        }
    ]
    wanted = config(root, tmp_path, workers=2, models=deadly, datasets=ONE_RUN, batch_size=1)
    with pytest.raises(BenchError, match="lost 3 times over episodes 5"):
        run_matrix(wanted, listener=Quiet())


def test_a_stuck_worker_holds_up_nobody(root: Path, tmp_path: Path, alone: Areas) -> None:
    marks = tmp_path / "marks"
    wanted = config(
        root, tmp_path / "r", workers=2, models=breaking("Stuck", marks), datasets=ONE_RUN
    )
    assert areas(wanted, run_matrix(wanted, listener=Quiet())) == alone[:1]
    assert len(list(marks.glob("broke-*"))) == 1
    assert len(list(marks.glob("loaded-*"))) == 2


def test_memory_that_runs_out_in_one_worker_halves_the_batches_of_all(
    root: Path, tmp_path: Path, alone: Areas
) -> None:
    listener = Quiet()
    models = breaking("Full", tmp_path / "marks", times=3)  # so that one is full twice in a row
    wanted = config(root, tmp_path / "r", workers=2, models=models, datasets=ONE_RUN)
    outcome = run_matrix(wanted, listener=listener)[0]
    assert outcome.record is not None
    assert outcome.record.setup.batch_size == 1
    assert "again with batches of 1" in listener.notes[0]
    assert areas(wanted, [outcome]) == alone[:1]


def test_what_the_user_has_to_mend_comes_through(root: Path, tmp_path: Path) -> None:
    wrong = [{"name": "wrong", "model": "tests.tiny:ColourModel", "options": {"loss": 1}}]
    with pytest.raises(LeftOut, match="loss"):
        run_matrix(config(root, tmp_path, workers=2, models=wrong), listener=Quiet())


def test_workers_share_the_processors_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _share(8) == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [_share(workers) for workers in (2, 3, 16)] == [4, 2, 1]


def test_each_worker_has_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _devices("cpu", 3) == ["cpu"] * 3
    with pytest.raises(BenchError, match="--workers 2 needs --device cuda or cpu"):
        _devices("cuda:1", 2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert _devices("auto", 2) == ["cuda:0", "cuda:1"]
    with pytest.raises(BenchError, match="sees 2 here"):
        _devices("cuda", 3)


@pytest.fixture
def threads() -> Iterator[None]:
    """Leaves torch's number of threads as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_computes_with_its_own_number_of_threads(
    root: Path, tmp_path: Path, workers: int
) -> None:
    wanted = config(root, tmp_path, datasets=ONE_RUN, workers=workers, worker_threads=2)
    record = run_matrix(wanted, listener=Quiet())[0].record
    assert record is not None
    assert record.hardware.endswith(", 2 threads")


def test_a_worker_is_told_whether_to_stay_offline(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that workers fork from has the environment of its start, not of now."""
    for said in ("0", "1"):
        monkeypatch.setenv("HF_HUB_OFFLINE", said)
        models = [{"name": "told", "model": "tests.benchmarks.engines.broken:Told"}]
        wanted = config(root, tmp_path / said, models=models, datasets=ONE_RUN, workers=2)
        record = run_matrix(wanted, listener=Quiet())[0].record
        assert record is not None and record.setup.model.config == {"offline": said}


def test_no_process_stays_behind(root: Path) -> None:
    executor = LocalExecutor([Place(config(root, root), "cpu", 1, ())] * 2)
    processes = [own.process for own in executor._workers.values()]
    assert all(process.is_alive() for process in processes)
    executor.close()
    assert not any(process.is_alive() for process in processes)


EXECUTOR = """
import sys, time
from pathlib import Path
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.local import LocalExecutor
from benchmarks.engines.worker_process import Place
if __name__ == "__main__":
    executor = LocalExecutor([Place(BenchConfig(), "cpu", 1, ())] * 2)
    pids = " ".join(str(own.process.pid) for own in executor._workers.values())
    partial = Path(sys.argv[1] + ".partial")
    partial.write_text(pids)
    partial.replace(sys.argv[1])
    time.sleep(60)
"""


def test_workers_end_with_a_runner_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "runner.py"
    script.write_text(EXECUTOR)
    started = tmp_path / "started"
    runner = subprocess.Popen([sys.executable, str(script), str(started)])
    try:
        wait_until(started.exists)
    finally:
        runner.kill()
        runner.wait()
    workers = [Path("/proc") / pid for pid in started.read_text().split()]
    assert len(workers) == 2
    wait_until(lambda: not any(map(is_alive, workers)))


def is_alive(process: Path) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for does not."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(come_true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not come_true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)
