"""The journal's last line is torn, or any line is damaged: it is cut off, and its batch run again.

The tests of the journal alone, cut at every byte, are in `tests/benchmarks/test_store.py`.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.results.journal import Journal
from tests.faults.runs import EPISODES, KEY, counts, run
from tests.faults.sandbox import forked

Damage = Callable[[bytes], bytes]


def stop_after(root: Path, results: Path, batches: int) -> Path:
    """Run so many batches, die as a killed process does, and return the journal."""

    def dying() -> None:
        append, left = Journal.append, iter(range(batches))

        def mortal(journal: Journal, *args: object) -> None:
            append(journal, *args)  # type: ignore[arg-type]
            if next(left) == batches - 1:
                os._exit(1)

        Journal.append = mortal  # type: ignore[method-assign]
        run(root, results)

    forked(dying)
    return KEY.folder(results) / "journal.jsonl"


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda text: text[:-1], 4),
        (lambda text: text[:-50], 4),
        (lambda text: text + bytes(200), 5),
        (lambda text: text[:-200] + bytes(200), 3),
        (lambda text: b"", 0),
    ],
    ids=["end of line", "last line", "zeros after", "zeros over", "empty"],
)
def test_what_is_torn_is_measured_again(
    root: Path, tmp_path: Path, damage: Damage, kept: int
) -> None:
    journal = stop_after(root, tmp_path, 5)
    journal.write_bytes(damage(journal.read_bytes()))
    outcome = run(root, tmp_path)
    assert outcome.record is not None and outcome.record.cache is not None
    assert outcome.record.cache.naive_image_encodes == 2 * (EPISODES - 3 * kept)
    run(root, tmp_path / "unbroken")
    assert counts(tmp_path) == counts(tmp_path / "unbroken")
