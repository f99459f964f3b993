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

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import run_matrix
from benchmarks.evaluation import counting
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
from tests.faults.runs import config

KILLS = 20


def in_child(wanted: BenchConfig, pause: float) -> None:
    original = counting.predict

    def slow(*arguments: object) -> object:
        time.sleep(pause)
        return original(*arguments)  # type: ignore[arg-type]

    counting.predict = slow  # type: ignore[assignment]
    run_matrix(wanted, listener=Quiet())
    os._exit(0)


def progress(results: Path) -> int:
    """Changes when a batch is measured or a run finished."""
    journals = results.rglob("journal.jsonl")
    batches = sum(path.read_bytes().count(b'{"rows"') for path in journals)
    return batches - 10**6 * len(list(results.rglob("run.json")))


def test_twenty_kills_end_in_the_unbroken_result(root: Path, tmp_path: Path) -> None:
    every = {"datasets": [{"name": "tiny", "shots": [1, 2]}], "limit": 120}
    wanted = config(root, tmp_path / "a", **every)
    unbroken = [areas_of(tmp_path / "a", o.key) for o in run_matrix(wanted, listener=Quiet())]
    wanted = config(root, tmp_path / "b", **every)
    clock = random.Random(0)
    fork = multiprocessing.get_context("fork")
    for kills in range(KILLS):
        child = fork.Process(target=in_child, args=(wanted, 0.008))
        before, deadline = progress(tmp_path / "b"), time.monotonic() + 60
        child.start()
        while progress(tmp_path / "b") == before and child.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.004)
        child.join(clock.uniform(0, 0.016))
        if child.exitcode is not None:
            pytest.fail(f"the run ended (exit code {child.exitcode}) after {kills} kills")
        child.kill()
        child.join()
    outcomes = run_matrix(wanted, listener=Quiet())
    assert sum(o.record.sittings - 1 for o in outcomes if o.record) > KILLS // 2
    assert [areas_of(tmp_path / "b", outcome.key) for outcome in outcomes] == unbroken
    assert not list((tmp_path / "b").rglob("journal.jsonl"))
