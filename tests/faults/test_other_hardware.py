"""A run goes on on another machine: the result names all that its rows were measured on."""

from pathlib import Path

import pytest

from benchmarks.engines.runner import run_matrix
from benchmarks.results import environment
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config
from tests.faults.test_changed_code import stopped


def test_the_result_names_both(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, listener = config(root, tmp_path), Quiet()
    monkeypatch.setattr(environment, "hardware", lambda device: "GPU A")
    stopped(wanted)
    monkeypatch.setattr(environment, "hardware", lambda device: "GPU B")
    (outcome,) = run_matrix(wanted, listener=listener)
    assert outcome.record is not None
    assert (outcome.record.hardware, outcome.record.sittings) == ("GPU A + GPU B", 2)
    (note,) = listener.notes
    assert "was begun on GPU A and goes on on GPU B, whose last digits may differ" in note
