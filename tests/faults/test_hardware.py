"""What a result says of the machines that measured it."""

import sys
from pathlib import Path

import pytest

from benchmarks.engines.runner import run_matrix
from benchmarks.results import environment
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config
from tests.faults.test_changed_code import stopped


def test_a_run_that_goes_on_elsewhere_names_both(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, listener = config(root, tmp_path), Quiet()
    monkeypatch.setattr(environment, "hardware", lambda device: "GPU A")
    stopped(wanted)
    monkeypatch.setattr(environment, "hardware", lambda device: "GPU B")
    (outcome,) = run_matrix(wanted, listener=listener)
    assert outcome.record is not None
    assert (outcome.record.hardware, outcome.record.sittings) == ("GPU A + GPU B", 2)
    (note,) = listener.notes
    assert "was begun on GPU A and goes on on GPU B, whose last digits may differ" in note


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_of_memory_is_that_of_its_own_run() -> None:
    size = 2**28
    held = bytearray(size)
    before = environment.peak_memory("cpu")
    del held
    environment.reset_peak_memory("cpu")
    assert environment.peak_memory("cpu") < before - size // 2
