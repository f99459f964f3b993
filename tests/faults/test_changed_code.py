"""Code changes between start and resume, or while it runs: no counts of two programs are mixed."""

from pathlib import Path

import pytest

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.records import read_shard
from benchmarks.results.shards import Shard
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import KEY, config

OWN = "import helper\nfrom tests.tiny import ColourModel\n\nclass Own(ColourModel):\n    pass\n"


class Stopping(Quiet):
    def advanced(self, episodes: int) -> None:
        raise KeyboardInterrupt


def stopped(wanted: BenchConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_matrix(wanted, listener=Stopping())


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
@pytest.mark.parametrize("edited", ["own.py", "helper.py"])
def test_an_edited_model_is_refused(
    root: Path, tmp_path: Path, finished: bool, edited: str
) -> None:
    (tmp_path / "helper.py").touch()
    file = tmp_path / "own.py"
    file.write_text(OWN)
    changed = tmp_path / edited
    before = changed.read_text()
    wanted = config(root, tmp_path / "results", model=str(file))
    if finished:
        run_matrix(wanted, listener=Quiet())
    else:
        stopped(wanted)
    changed.write_text(f"{before}\nedited = True\n")
    with pytest.raises(BenchError, match=r"model\.source_digest = '\w{64}', now it is '\w{64}'"):
        run_matrix(wanted, listener=Quiet())
    changed.write_text(before)
    status = run_matrix(wanted, listener=Quiet())[0].status
    assert status == ("already complete" if finished else "measured")


def test_worker_processes_find_the_code_that_one_process_does(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/helper.py").touch()
    (tmp_path / "mine/own.py").write_text(OWN)
    model = str(tmp_path / "mine/own.py")
    run_matrix(config(root, tmp_path / "results", model, workers=2, device="cpu"), listener=Quiet())
    wanted = config(root, tmp_path / "results", model)
    assert run_matrix(wanted, listener=Quiet())[0].status == "already complete"
    (tmp_path / "mine/helper.py").write_text("edited = True\n")
    with pytest.raises(BenchError, match=r"model\.source_digest = '\w{64}', now it is '\w{64}'"):
        run_matrix(wanted, listener=Quiet())


@pytest.mark.parametrize("part", ["sources", "torch"])
def test_a_begun_run_wants_the_code_that_began_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    wanted = config(root, tmp_path)
    stopped(wanted)
    later = environment.program() | {part: "later"}
    with monkeypatch.context() as patched:
        patched.setattr(environment, "program", lambda: later)
        with pytest.raises(BenchError, match=rf"code\.{part} = '.*', now it is 'later'; go back"):
            run_matrix(wanted, listener=Quiet())
    outcome = run_matrix(wanted, listener=Quiet())[0]
    assert outcome.record is not None and outcome.record.sittings == 2
    monkeypatch.setattr(environment, "program", lambda: later)
    assert run_matrix(wanted, listener=Quiet())[0].status == "already complete"


def test_documents_and_tests_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment, "__file__", str(tmp_path / "benchmarks" / "results" / "environment.py")
    )
    for package in ("benchmarks", "datasets_prep", "models"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "own.py").touch()
    first = environment.program.__wrapped__()
    (tmp_path / "README.md").touch()
    (tmp_path / "models" / "NOTES.md").touch()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").touch()
    assert environment.program.__wrapped__() == first
    (tmp_path / "models" / "own.py").write_text("1")
    assert environment.program.__wrapped__() != first


def test_what_changes_while_it_runs_is_not_what_ran(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment.program(), environment.versions(), environment.revision()

    class Pulled(Quiet):
        def advanced(self, episodes: int) -> None:
            for name in ("program", "versions", "revision"):
                monkeypatch.setattr(environment, name, lambda: {"pulled": "yes"})

    run_matrix(config(root, tmp_path), listener=Pulled(), shard=Shard(1, 1))
    found = read_shard(KEY.folder(tmp_path) / "shards" / "1of1" / "shard.json")
    assert (found.code, found.course.versions, found.course.revision) == before
