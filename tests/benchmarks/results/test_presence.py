"""What a model says of a class's presence, in the journal and in the table."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.journal import Journal, Row
from benchmarks.results.store import RunKey, read_result
from tests.leaderboards.synthetic import (
    make_record,
    make_rows,
    make_setup,
    query_names,
    with_presence,
)

SETUP = make_setup(protocol="absent-v1", count=20)
# Numbers that a shorter way to write them would change.
ROWS = with_presence(make_rows(SETUP))
KEY = RunKey("toy", "absent-v1", "alpha", 0, 1)


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "program", lambda: {"sources": "0"})


def said(rows: list[Row]) -> list[float | None]:
    return [row.presence for row in rows]


def finished(root: Path) -> Path:
    """A run in two sittings; its table."""
    folder = KEY.folder(root)
    for rows in (ROWS[:8], ROWS[8:]):
        with Journal(folder, SETUP) as journal:
            journal.append(rows, 0.25)
    with Journal(folder, SETUP) as journal:
        assert sorted(journal.rows, key=lambda row: row.episode) == ROWS
        journal.finish(make_record(SETUP, ROWS), query_names(len(ROWS)))
    return folder / "episodes.parquet"


def test_no_bit_is_lost_on_the_way(tmp_path: Path) -> None:
    table = finished(tmp_path)
    counts = read_result(tmp_path, KEY).counts
    assert counts.presence is not None
    assert counts.presence.tolist() == said(ROWS)
    schema = pq.read_schema(table)
    assert schema.field("presence").type == pa.float64()
    assert schema.names[-2:] == ["presence", "milliseconds"]
    part = counts.part(counts.episode % 2 == 0)
    assert part.presence is not None and part.presence.tolist() == said(ROWS)[::2]


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", "7", "true", '"high"', "null", "[0.5]"])
def test_a_journal_line_with_another_number_is_cut_off(tmp_path: Path, wrong: str) -> None:
    folder = KEY.folder(tmp_path)
    with Journal(folder, SETUP) as journal:
        journal.append(ROWS[:2], 0.25)
        journal.append(ROWS[2:3], 0.25)
    path = folder / "journal.jsonl"
    text = path.read_text()
    assert text.count(repr(ROWS[2].presence)) == 1
    path.write_text(text.replace(repr(ROWS[2].presence), wrong))
    with Journal(folder, SETUP) as journal:
        assert journal.rows == ROWS[:2]


def test_a_journal_of_plain_counts_is_what_it_was(tmp_path: Path) -> None:
    folder, rows = KEY.folder(tmp_path), make_rows(SETUP)
    with Journal(folder, SETUP) as journal:
        journal.append(rows[:1], 0.25)
    entry = json.loads((folder / "journal.jsonl").read_text().splitlines()[1])["rows"][0]
    assert entry == [0, rows[0].class_id, list(rows[0].areas), rows[0].milliseconds]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([float("nan"), *[0.5] * 19]), "a presence that is not a finite number"),
        (pa.array([*[0.5] * 19, float("-inf")]), "a presence that is not a finite number"),
        (pa.array([None, *[0.5] * 19], pa.float64()), "does not hold the columns"),
        (pa.array([1] * 20, pa.int64()), "does not hold the columns"),
        (pa.array([0.5] * 20, pa.float32()), "does not hold the columns"),
    ],
)
def test_a_forged_table_is_refused_by_name(tmp_path: Path, values: pa.Array, words: str) -> None:
    path = finished(tmp_path)
    table = pq.read_table(path)
    place = table.column_names.index("presence")
    pq.write_table(table.set_column(place, "presence", values), path)
    with pytest.raises(BenchError, match=words) as error:
        read_result(tmp_path, KEY)
    assert "episodes.parquet" in str(error.value)
