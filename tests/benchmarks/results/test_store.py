"""A journal cut, damaged or left by a killed writer still ends in the same result."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.journal import Journal, is_complete
from benchmarks.results.records import Setup
from benchmarks.results.store import RunKey, find_runs, previous_setup, read_result
from tests.leaderboards.synthetic import (
    make_record,
    make_rows,
    make_setup,
    query_names,
    write_run,
)

BATCHES, EACH = 5, 4
SETUP = make_setup(count=BATCHES * EACH)
ROWS = make_rows(SETUP)
KEY = RunKey("toy", "fixed-v1", "alpha", 0, 1)


def batch(number: int) -> list:
    return ROWS[number * EACH : (number + 1) * EACH]


def go_on(folder: Path, stop: int = BATCHES) -> Journal:
    """Add the batches that are missing, as the evaluator does, and finish when all are there."""
    with Journal(folder, SETUP) as journal:
        done = {row.episode for row in journal.rows}
        for number in range(stop):
            if batch(number)[0].episode not in done:
                journal.append(batch(number), 0.25)
        if stop == BATCHES:
            journal.finish(make_record(SETUP, ROWS), query_names(len(ROWS)))
    return journal


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for writers in other processes, whatever is edited meanwhile."""
    monkeypatch.setattr(environment, "program", lambda: {"sources": "0"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return KEY.folder(tmp_path)


@pytest.fixture
def whole(tmp_path: Path) -> pa.Table:
    """What an unbroken run writes."""
    folder = KEY.folder(tmp_path / "unbroken")
    go_on(folder)
    return pq.read_table(folder / "episodes.parquet")


def test_a_finished_run_reads_back_as_it_was_written(tmp_path: Path, folder: Path) -> None:
    go_on(folder)
    result = read_result(tmp_path, KEY)
    assert result.key == KEY
    assert result.record == make_record(SETUP, ROWS)
    assert result.counts.episode.tolist() == [row.episode for row in ROWS]
    assert result.counts.class_id.tolist() == [row.class_id for row in ROWS]
    assert [tuple(areas) for areas in result.counts.areas.tolist()] == [r.areas for r in ROWS]
    assert result.queries == tuple(query_names(len(ROWS)))
    assert result.milliseconds is not None
    assert result.milliseconds.tolist() == [row.milliseconds for row in ROWS]
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "episodes.parquet", "run.json"]


def test_further_counts_are_further_columns(tmp_path: Path, folder: Path) -> None:
    setup = SETUP.model_copy(update={"metrics": ("boundary",)})
    rows = [
        replace(row, further={"boundary_intersection": 1, "boundary_union": row.episode + 1})
        for row in ROWS
    ]
    with Journal(folder, setup) as journal:
        journal.append(rows[:EACH], 0.25)
    with Journal(folder, setup) as journal:
        assert journal.rows == rows[:EACH]
        journal.append(rows[EACH:], 0.25)
        journal.finish(make_record(setup, rows), query_names(len(rows)))
    result = read_result(tmp_path, KEY)
    found = {name: own.tolist() for name, own in result.counts.further.items()}
    assert found == {
        "boundary_intersection": [1] * len(rows),
        "boundary_union": [row.episode + 1 for row in rows],
    }
    # A killed `bench score` leaves columns that the record does not name; not the other way round.
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"boundary"', ""))
    assert read_result(tmp_path, KEY).counts.further == {}
    go_on(folder.parent / "fold1_1shot")
    path.write_text(path.read_text().replace('"metrics": [', '"metrics": ["boundary"'))
    (folder.parent / "fold1_1shot/episodes.parquet").replace(folder / "episodes.parquet")
    with pytest.raises(BenchError, match="does not hold the columns of a result"):
        read_result(tmp_path, KEY)


def test_a_journal_cut_at_any_byte_goes_on_to_the_same_result(
    folder: Path, whole: pa.Table
) -> None:
    go_on(folder, stop=3)
    path = folder / "journal.jsonl"
    text = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(text) if byte == ord("\n")]
    for cut in range(len(text)):
        path.write_bytes(text[:cut])
        with Journal(folder, SETUP) as journal:
            kept = max((end for end in ends if end <= cut), default=0)
            batches = max(ends.index(kept), 0) if kept else 0
            assert len(journal.rows) == batches * EACH
            assert journal.seconds == 0.25 * batches
            assert journal.sittings == (2 if batches else 1)
    path.write_bytes(text[:-1])
    go_on(folder)
    assert pq.read_table(folder / "episodes.parquet").equals(whole)


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x00\x00\x00\n",
        b'{"rows": [[0, 1, [1, 2, 3, 4], 1.0]]}\n',
        b'{"rows": [[0, 1, [1, 2], 1.0]], "seconds": 1}\n',
        b'{"rows": [[0, 1, [1, 2, 3, 4], 1.0]], "seconds": "x"}\n',
        b'{"setup": 3, "sittings": 1}\n',
        b"[]\n",
        b"7\n",
        b"\n",
    ],
)
def test_a_damaged_line_costs_its_own_batch_alone(
    folder: Path, whole: pa.Table, damage: bytes
) -> None:
    go_on(folder, stop=4)
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
    with Journal(folder, SETUP) as journal:
        assert journal.rows == batch(0) + batch(2) + batch(3)
        assert journal.seconds == 0.75
    go_on(folder)
    assert pq.read_table(folder / "episodes.parquet").equals(whole)


def test_rows_without_what_measured_them_are_not_thrown_away(folder: Path) -> None:
    go_on(folder, stop=3)
    path = folder / "journal.jsonl"
    path.write_bytes(damaged := b"{" + path.read_bytes())
    with pytest.raises(BenchError, match=r"12 episodes, but its first line is damaged.*--fresh"):
        Journal(folder, SETUP).__enter__()
    assert path.read_bytes() == damaged
    with Journal(folder, SETUP, "fresh") as journal:
        assert journal.rows == []


WRITER = """
import os, signal, sys
from pathlib import Path
from benchmarks.results import environment
from benchmarks.results.journal import Journal
from tests.benchmarks.results.test_store import KEY, SETUP, batch
environment.program = lambda: {"sources": "0"}
with Journal(KEY.folder(Path(sys.argv[1])), SETUP) as journal:
    journal.append(batch(0), 0.25)
    journal.append(batch(1), 0.25)
    print("two batches are in", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(root: Path, what: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "two batches are in\n"
    return process


def test_a_killed_writer_leaves_its_batches_and_no_lock(
    tmp_path: Path, folder: Path, whole: pa.Table
) -> None:
    with writer(tmp_path, "die") as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert not is_complete(folder)
    with Journal(folder, SETUP) as journal:
        assert journal.rows == [*batch(0), *batch(1)]
    assert go_on(folder).sittings == 3
    assert pq.read_table(folder / "episodes.parquet").equals(whole)


def test_two_processes_never_write_one_run(tmp_path: Path, folder: Path) -> None:
    with writer(tmp_path, "wait") as process:
        with (
            pytest.raises(BenchError, match="another process is measuring into"),
            Journal(folder, SETUP),
        ):
            pass
        process.communicate("")
    with Journal(folder, SETUP) as journal:
        assert journal.rows == [*batch(0), *batch(1)]


@pytest.mark.parametrize("survives", range(3))
def test_a_death_between_the_last_writes_leaves_a_run_that_finishes(
    folder: Path, whole: pa.Table, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    class Dead(Exception):
        pass

    steps = iter([*"x" * survives])
    with monkeypatch.context() as patched:
        for name in ("replace", "unlink"):
            original = getattr(Path, name)

            def step(
                self: Path, *args: object, _original: object = original, **how: object
            ) -> object:
                if next(steps, None) is None:
                    raise Dead
                return _original(self, *args, **how)  # type: ignore[operator]

            patched.setattr(Path, name, step)
        with pytest.raises(Dead):
            go_on(folder)
        assert not is_complete(folder)
    go_on(folder)
    assert is_complete(folder)
    assert pq.read_table(folder / "episodes.parquet").equals(whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "bf16"}, "dtype = 'fp32', now it is 'bf16'"),
        ({"digest": "f" * 64}, "dataset.digest = 'dddd"),
        ({"episodes": "a" * 64}, "episodes.digest = '01ee"),
        ({"config": {"backbone": "tiny", "k": 2}}, "model.config.k = None, now it is 2"),
        ({"count": 12}, "episodes.count = 20, now it is 12"),
    ],
)
def test_a_resumed_run_must_be_the_same_run(folder: Path, change: dict, named: str) -> None:
    go_on(folder, stop=2)
    other = make_setup(**{"count": len(ROWS), **change})
    with pytest.raises(BenchError, match="--fresh") as error, Journal(folder, other):
        pass
    assert named in str(error.value)
    with Journal(folder, other, "fresh") as journal:
        assert journal.rows == []
        assert journal.sittings == 1


def test_a_setup_outlives_json(folder: Path) -> None:
    nested = make_setup(config={"size": (16, 24), "path": None, "nested": {"1": [0.1, 1e-7]}})
    with Journal(folder, nested) as journal:
        journal.append(batch(0), 0.25)
    with Journal(folder, nested) as journal:
        assert journal.rows == batch(0)
    before = previous_setup(folder)
    assert before is not None
    assert before.model_dump(mode="json") == nested.model_dump(mode="json")


@pytest.mark.parametrize(
    ("rows", "count"),
    [(ROWS[:-1], "19 rows"), (ROWS[1:] + ROWS[1:2], "20 rows"), (ROWS + ROWS[:1], "21 rows")],
)
def test_a_run_with_missing_or_doubled_episodes_is_not_finished(
    folder: Path, rows: list, count: str
) -> None:
    with Journal(folder, SETUP) as journal:
        journal.append(rows, 1.0)
        with pytest.raises(BenchError, match=f"{count} do not make the 20 episodes"):
            journal.finish(make_record(SETUP, ROWS), query_names(len(ROWS)))
    assert not is_complete(folder)
    assert not (folder / "episodes.parquet").exists()


@pytest.mark.parametrize("setup", [SETUP, make_setup(dtype="bf16")])
def test_a_result_that_another_process_has_just_finished_is_left_alone(
    tmp_path: Path, folder: Path, setup: Setup
) -> None:
    go_on(folder)
    kept = folder / "predictions" / "000000.png"
    kept.parent.mkdir()
    kept.touch()
    with pytest.raises(BenchError, match="just finished by another"), Journal(folder, setup):
        pass
    assert kept.exists() and find_runs(tmp_path) == [KEY]


def test_measuring_again_hides_the_old_result_until_it_is_whole(
    tmp_path: Path, folder: Path
) -> None:
    go_on(folder)
    assert find_runs(tmp_path) == [KEY]
    with Journal(folder, SETUP, "fresh"):
        assert find_runs(tmp_path) == []


def test_measuring_again_drops_the_masks_of_the_old_result(folder: Path) -> None:
    kept = folder / "predictions" / "000000.png"
    go_on(folder, stop=2)
    kept.parent.mkdir()
    kept.touch()
    with Journal(folder, SETUP):
        assert kept.exists()
    with Journal(folder, SETUP, "fresh"):
        assert not kept.exists()


def test_a_run_that_measured_nothing_binds_nobody(folder: Path) -> None:
    go_on(folder, stop=0)
    other = make_setup(count=len(ROWS), dtype="bf16")
    with Journal(folder, other) as journal:
        assert journal.sittings == 1
    assert previous_setup(folder) is None


def test_find_runs_lists_whole_runs_in_order_and_nothing_else(tmp_path: Path) -> None:
    keys = [
        write_run(tmp_path, fold=fold, shots=shots, name=name)
        for name in ("beta", "alpha")
        for shots in (10, 5)
        for fold in (1, 0)
    ]
    go_on(KEY.folder(tmp_path), stop=1)
    (tmp_path / "toy" / "fixed-v1" / "alpha" / "foldx_1shot").mkdir()
    (tmp_path / "toy" / "fixed-v1" / "alpha" / "foldx_1shot" / "run.json").write_text("{}")
    assert find_runs(tmp_path) == sorted(keys)
    assert find_runs(tmp_path / "nowhere") == []
