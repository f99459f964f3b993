"""Two runs share a results folder: the second refuses the result that the first measures."""

import multiprocessing
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.results.journal import Journal
from tests.faults.runs import KEY, counts, run
from tests.leaderboards.synthetic import make_setup

_fork = multiprocessing.get_context("fork")


def test_the_second_refuses_and_spoils_nothing(root: Path, tmp_path: Path) -> None:
    begun, go = _fork.Event(), _fork.Event()

    def first() -> None:
        append = Journal.append

        def waiting(journal: Journal, *args: object) -> None:
            append(journal, *args)  # type: ignore[arg-type]
            begun.set()
            go.wait(60)

        Journal.append = waiting  # type: ignore[method-assign]
        run(root, tmp_path)

    child = _fork.Process(target=first)
    child.start()
    assert begun.wait(60)
    journal = KEY.folder(tmp_path) / "journal.jsonl"
    before = journal.read_bytes()
    for changes in ({}, {"models": [{"name": "colour", "model": "random"}]}):
        with pytest.raises(BenchError, match=f"another process is measuring into .*{KEY}"):
            run(root, tmp_path, **changes)
    assert journal.read_bytes() == before
    go.set()
    child.join(60)
    assert child.exitcode == 0
    run(root, tmp_path / "alone")
    assert counts(tmp_path) == counts(tmp_path / "alone")


def test_another_result_beside_it_is_measured(root: Path, tmp_path: Path) -> None:
    with Journal(KEY.folder(tmp_path), make_setup()):
        assert run(root, tmp_path, limit=20).status == "measured"
