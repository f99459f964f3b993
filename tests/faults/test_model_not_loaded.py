"""A model that cannot be loaded costs the others nothing: they are measured, then it is told."""

from pathlib import Path

import pytest

from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results.store import find_runs
from models.errors import ModelError
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import KEY, config

WRONG = {"model": "tests.tiny:ColourModel", "options": {"loss": 1}}
RIGHT = {"name": "colour", "model": "tests.tiny:ColourModel"}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_other_models_are_measured(root: Path, tmp_path: Path, workers: int) -> None:
    listener = Quiet()
    wanted = config(root, tmp_path, models=[{"name": "wrong", **WRONG}, RIGHT], workers=workers)
    with pytest.raises(ModelError, match="loss"):
        run_matrix(wanted, listener=listener)
    assert find_runs(tmp_path) == [KEY]
    (note,) = listener.notes
    assert note.startswith("wrong is left out: ") and "loss" in note


def test_each_of_several_is_told(root: Path, tmp_path: Path) -> None:
    models = [{"name": "first", **WRONG}, RIGHT, {"name": "last", **WRONG}]
    with pytest.raises(BenchError, match=r"(?s)\n  first: .*loss.*\n  last: .*loss"):
        run_matrix(config(root, tmp_path, models=models), listener=Quiet())
    assert find_runs(tmp_path) == [KEY]


def test_alone_it_is_told_once(root: Path, tmp_path: Path) -> None:
    listener = Quiet()
    with pytest.raises(ModelError, match="loss"):
        run_matrix(config(root, tmp_path, models=[{"name": "wrong", **WRONG}]), listener=listener)
    assert not listener.notes
