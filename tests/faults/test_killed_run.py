"""The evaluator is killed at any moment: the same command goes on and ends in the same result.

The journal's own tests, such as a death between its last writes, are in
`tests/benchmarks/test_store.py`.
"""

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from benchmarks import evaluator as evaluator_module
from benchmarks.config import BenchConfig
from benchmarks.runner import run_matrix
from tests.benchmarks.test_evaluator import Quiet, areas_of
from tests.faults.runs import config

KILLS = 20


def in_child(wanted: BenchConfig, pause: float) -> None:
    original = evaluator_module.predict

    def slow(*arguments: object) -> object:
        time.sleep(pause)
        return original(*arguments)  # type: ignore[arg-type]

    evaluator_module.predict = slow  # type: ignore[assignment]
    run_matrix(wanted, listener=Quiet())
    os._exit(0)


def test_twenty_kills_end_in_the_unbroken_result(root: Path, tmp_path: Path) -> None:
    every = {"datasets": [{"name": "tiny", "shots": [1, 2]}], "limit": 120}
    wanted = config(root, tmp_path / "a", **every)
    unbroken = [areas_of(tmp_path / "a", o.key) for o in run_matrix(wanted, listener=Quiet())]
    wanted = config(root, tmp_path / "b", **every)
    clock = random.Random(0)
    fork = multiprocessing.get_context("fork")
    for kills in range(KILLS):
        child = fork.Process(target=in_child, args=(wanted, 0.004))
        child.start()
        child.join(clock.uniform(0.01, 0.09))
        if child.exitcode is not None:
            pytest.fail(f"the run ended (exit code {child.exitcode}) after {kills} kills")
        child.kill()
        child.join()
    outcomes = run_matrix(wanted, listener=Quiet())
    assert [areas_of(tmp_path / "b", outcome.key) for outcome in outcomes] == unbroken
    assert not list((tmp_path / "b").rglob("journal.jsonl"))
