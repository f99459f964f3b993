"""A model or run that cannot be measured costs the others nothing: they are, then it is told."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.engines.runner import LeftOut, run_matrix
from benchmarks.results.store import RunKey, find_runs
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import EPISODES, KEY, config
from tests.faults.test_out_of_memory import HUNGRY
from tests.tiny import ColourModel

WRONG = {"model": "tests.tiny:ColourModel", "options": {"loss": 1}}
RIGHT = {"name": "colour", "model": "tests.tiny:ColourModel"}
OTHER = RunKey("tiny", f"fixed-v1-first{EPISODES}", "other", 0, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_other_models_are_measured(root: Path, tmp_path: Path, workers: int) -> None:
    listener = Quiet()
    wanted = config(root, tmp_path, models=[{"name": "wrong", **WRONG}, RIGHT], workers=workers)
    with pytest.raises(LeftOut, match="loss") as caught:
        run_matrix(wanted, listener=listener)
    assert find_runs(tmp_path) == [KEY]
    assert [outcome.status for outcome in caught.value.outcomes] == ["left out", "measured"]
    if workers == 1:  # two may measure the other first, and then the error says all
        (note,) = listener.notes
        assert note.startswith("wrong is left out: ") and "loss" in note


class Broken(ColourModel):
    """Fails in its constructor, as anyone's code may."""

    def __init__(self, gain: float) -> None:
        raise KeyError("state_dict")


def test_so_is_one_whose_code_fails_as_it_is_loaded(root: Path, tmp_path: Path) -> None:
    models = [{"name": "broken", "model": f"{__name__}:Broken"}, RIGHT]
    said = r"^broken cannot be loaded: KeyError: 'state_dict' \(.*test_left_out\.py, line \d+\)$"
    with pytest.raises(LeftOut, match=said):
        run_matrix(config(root, tmp_path, models=models), listener=Quiet())
    assert find_runs(tmp_path) == [KEY]


def test_each_of_several_is_told(root: Path, tmp_path: Path) -> None:
    models = [{"name": "first", **WRONG}, RIGHT, {"name": "last", **WRONG}]
    with pytest.raises(LeftOut, match=r"(?s)\n  first: .*loss.*\n  last: .*loss"):
        run_matrix(config(root, tmp_path, models=models), listener=Quiet())
    assert find_runs(tmp_path) == [KEY]


def test_alone_it_is_told_once(root: Path, tmp_path: Path) -> None:
    listener = Quiet()
    with pytest.raises(LeftOut, match=r"^(?!left out)"):
        run_matrix(config(root, tmp_path, models=[{"name": "wrong", **WRONG}]), listener=listener)
    assert not listener.notes


def test_so_is_a_run_that_was_begun_with_other_options(root: Path, tmp_path: Path) -> None:
    run_matrix(config(root, tmp_path, models=[RIGHT]), listener=Quiet())
    before = (KEY.folder(tmp_path) / "run.json").read_bytes()
    models = [RIGHT | {"options": {"gain": 2.0}}, RIGHT | {"name": "other"}]
    with pytest.raises(LeftOut, match=r"gain.* = .*, now it is 2\.0; go back") as caught:
        run_matrix(config(root, tmp_path, models=models), listener=Quiet())
    assert [outcome.status for outcome in caught.value.outcomes] == ["left out", "measured"]
    assert find_runs(tmp_path) == [KEY, OTHER]
    assert (KEY.folder(tmp_path) / "run.json").read_bytes() == before


def test_so_is_one_that_does_not_fit_into_memory(root: Path, tmp_path: Path) -> None:
    models = [{"name": "hungry", "model": HUNGRY}, RIGHT]
    with pytest.raises(LeftOut, match="out of memory with batches of 4"):
        run_matrix(config(root, tmp_path, models=models, batch_size=4), listener=Quiet())
    assert find_runs(tmp_path) == [KEY]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_what_was_measured(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    wanted = config(root, tmp_path / "results", models=[{"name": "wrong", **WRONG}, RIGHT])
    (tmp_path / "bench.yaml").write_text(wanted.model_dump_json())
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["run", "--quiet", *["--json"] * as_json])
    assert said.exit_code == 2 and "loss" in said.stderr
    if as_json:
        wrong, right = json.loads(said.stdout)
        assert (wrong["status"], right["status"]) == ("left out", "measured")
    else:
        assert "0: left out" in said.stdout and "measured" not in said.stderr
