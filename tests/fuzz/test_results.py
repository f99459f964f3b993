"""Mutated results: records, tables, journals, shards, committed files, published numbers."""

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.config.file import read_config
from benchmarks.results.journal import Journal
from benchmarks.results.kept_masks import mask_of, read_masks, write_masks
from benchmarks.results.records import read_record, read_shard
from benchmarks.results.store import RunKey, previous_setup, read_result, read_unfinished
from leaderboards.committed.archive import pack, read_archive
from leaderboards.committed.collect import Places, collect
from leaderboards.committed.files import read_committed, write_committed
from leaderboards.committed.verify import check_result
from leaderboards.literature.numbers import read_published
from leaderboards.statistics.scores import settings
from leaderboards.tables.speed import speed_section
from tests.fuzz.mutate import _mutated as changed
from tests.fuzz.mutate import fuzzed, mutated, mutated_value, read_or_refused
from tests.leaderboards.synthetic import make_rows, make_setup, write_run

SETUP = make_setup(folds=1)
KEY = RunKey("toy", "fixed-v1", "alpha", 0, 1)
PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "literature" / "published.yaml"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_run(root / "good", folds=1)
    write_committed(root / "committed", read_result(root / "good", KEY))
    shutil.copytree(root / "good", root / "store")
    return root


def as_json(value: Any) -> bytes:
    """As JSON; a lone surrogate stays one, which is no UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def damaged_json(read: Callable[[Path], bytes]) -> st.SearchStrategy[Callable[[Path], bytes]]:
    """What makes damaged JSON of a file's content, which is known only when the test runs."""
    seeds = st.integers(0, 2**63)
    return st.tuples(seeds, st.booleans()).map(
        lambda drawn: lambda place: _damaged(read(place), *drawn)
    )


def _damaged(content: bytes, seed: int, as_bytes: bool) -> bytes:
    from random import Random

    from tests.fuzz.mutate import _mutated, _mutated_value

    if as_bytes:
        return _mutated(content, Random(seed))
    return as_json(_mutated_value(json.loads(content), Random(seed)))


RECORDS = damaged_json(lambda place: (KEY.folder(place / "good") / "run.json").read_bytes())
COMMITTED = damaged_json(lambda place: (place / "committed" / f"{KEY}.json").read_bytes())


@fuzzed
@given(damage=RECORDS)
def test_records(place: Path, damage: Callable[[Path], bytes]) -> None:
    path = KEY.folder(place / "store") / "run.json"
    path.write_bytes(damage(place))

    def read() -> None:
        result = read_result(place / "store", KEY)
        check_result(result)
        (setting,) = settings([result])
        assert setting.rows[0].folds

    # The board names the run; of its figures `check_result` tells which is wrong.
    read_or_refused("run.json", read, path, path.with_name("episodes.parquet"), "its ", "measured ")
    found = collect(Places(place / "store", place / "nowhere"))
    assert len(found.results) + len(found.left_out) == 1


@fuzzed
@given(damage=COMMITTED)
def test_committed_results(place: Path, damage: Callable[[Path], bytes]) -> None:
    path = place / "committed" / f"{KEY}.json"
    good = path.read_bytes()
    try:
        path.write_bytes(damage(place))
        table = path.with_suffix(".parquet")
        read_or_refused(
            "committed JSON", lambda: read_committed(place / "committed", KEY), path, table
        )
    finally:
        path.write_bytes(good)


JUNK_COLUMNS = (
    pa.array([None] * 40, pa.int64()),
    pa.array([2**62] * 40, pa.int64()),
    pa.array([-1] * 40, pa.int64()),
    pa.array([float("nan")] * 40, pa.float64()),
    pa.array(["x"] * 40, pa.string()),
    pa.array([[1]] * 40, pa.list_(pa.int64())),
    pa.array([2**63] * 40, pa.uint64()),
)


def other_table(place: Path, column: int, junk: int, rows: int) -> bytes:
    table = pq.read_table(KEY.folder(place / "good") / "episodes.parquet")
    name = table.column_names[column % len(table.column_names)]
    table = table.set_column(table.column_names.index(name), name, JUNK_COLUMNS[junk])
    file = io.BytesIO()
    pq.write_table(table.slice(0, rows), file)
    return file.getvalue()


@fuzzed
@given(
    seed=st.integers(0, 2**63),
    other=st.none() | st.tuples(st.integers(0, 7), st.integers(0, 6), st.integers(0, 40)),
)
def test_tables(place: Path, seed: int, other: tuple[int, int, int] | None) -> None:
    from random import Random

    from tests.fuzz.mutate import _mutated

    good = (KEY.folder(place / "good") / "episodes.parquet").read_bytes()
    folder = KEY.folder(place / "tables")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(KEY.folder(place / "good") / "run.json", folder)
    path = folder / "episodes.parquet"
    path.write_bytes(other_table(place, *other) if other else _mutated(good, Random(seed)))

    def read() -> None:
        result = read_result(place / "tables", KEY)
        assert len(result.counts) == 40
        check_result(result)

    read_or_refused("episodes.parquet", read, path, "its ", "the counts ")


def journal_text(place: Path) -> bytes:
    folder = place / "journal"
    shutil.rmtree(folder, ignore_errors=True)
    rows = make_rows(SETUP)
    with Journal(folder, SETUP) as journal:
        for begin in range(0, 20, 4):
            journal.append(rows[begin : begin + 4], 0.5)
        journal.fail(21, "RuntimeError: no")
    return (folder / "journal.jsonl").read_bytes()


@fuzzed
@given(seed=st.integers(0, 2**63), as_bytes=st.booleans())
def test_journals(place: Path, seed: int, as_bytes: bool) -> None:
    from random import Random

    from tests.fuzz.mutate import _mutated, _mutated_value

    content = journal_text(place)
    if as_bytes:
        damaged = _mutated(content, Random(seed))
    else:
        lines = _mutated_value([json.loads(line) for line in content.splitlines()], Random(seed))
        damaged = b"".join(as_json(line) + b"\n" for line in lines)
    folder = KEY.folder(place / "journals")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "journal.jsonl"
    path.write_bytes(damaged)

    def read() -> None:
        unfinished = read_unfinished(place / "journals", KEY)
        assert unfinished is None or str(unfinished)
        previous_setup(folder)
        with Journal(folder, SETUP) as journal:
            journal.counts()
            assert len(journal.rows) <= 60

    read_or_refused("journal.jsonl", read, folder)


SHARD = {
    "setup": SETUP.model_dump(mode="json"),
    "shard": 1,
    "shards": 2,
    "queries": {0: "a", 2: "b"},
    "sittings": 1,
    "code": {"fss-bench": "0.1.0", "sources": "0"},
    "course": {
        "started": "2026-11-02T10:00:00+00:00", "hardware": "x", "peak_memory_bytes": 1,
        "cache": None, "versions": {}, "revision": None,
    },
}  # fmt: skip


@fuzzed
@given(
    content=mutated(json.dumps(SHARD).encode()) | mutated_value(SHARD).map(as_json),
)
def test_shards(place: Path, content: bytes) -> None:
    path = place / "shard.json"
    path.write_bytes(content)
    read_or_refused("shard.json", lambda: read_shard(path), path)
    read_or_refused("run.json of another kind", lambda: read_record(path), path)


WHOLE = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
CUT = {
    **WHOLE,
    "results": WHOLE["results"][:3],
    "ablations": WHOLE["ablations"][:1],
    "sources": dict(list(WHOLE["sources"].items())[:2]),
    "protocols": dict(list(WHOLE["protocols"].items())[:2]),
}


@fuzzed
@given(
    content=mutated(yaml.safe_dump(CUT, allow_unicode=True).encode())
    | mutated_value(CUT).map(as_json)
)
def test_published_numbers(place: Path, content: bytes) -> None:
    path = place / "published.yaml"
    path.write_bytes(content)
    read_or_refused("published.yaml", lambda: read_published(path), path)


MATRIX = b"""\
data_root: data
cache: {host: 2GB}
datasets:
  - &a {name: tiny, shots: [1, 5], folds: [0]}
  - {<<: *a, name: other}
models:
  - random
  - {name: mine, model: mine.py, options: &o {a: 1, b: [1, {c: x}]}}
  - {name: yours, model: "m:C", options: *o}
"""


@fuzzed
@given(content=mutated(MATRIX))
def test_matrices_with_aliases(place: Path, content: bytes) -> None:
    path = place / "bench.yaml"
    path.write_bytes(content)
    read_or_refused("bench.yaml with aliases", lambda: read_config(path), path)


SPEED = {
    "model": "x", "list": "y", "shots": 5, "sample": 3, "episodes": 9, "ratio": 2.0,
    "cached_seconds": 1.0, "naive_seconds": 2.0,
}  # fmt: skip


@fuzzed
@given(content=mutated(json.dumps(SPEED).encode()) | mutated_value(SPEED).map(as_json))
def test_speed_reports(place: Path, content: bytes) -> None:
    folder = place / "fast" / "speed" / "x"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.json").write_bytes(content)
    read_or_refused("speed reports", lambda: speed_section(place / "fast"), folder)


@pytest.fixture(scope="module")
def packed(place: Path) -> bytes:
    path = place / "packed.zip"
    pack([read_result(place / "good", KEY)], path)
    return path.read_bytes()


@fuzzed
@given(seed=st.integers(0, 2**31))
def test_archives_of_results(place: Path, packed: bytes, seed: int) -> None:
    path = place / "sent.zip"
    path.write_bytes(changed(packed, random.Random(seed)))
    read_or_refused("archive of results", lambda: read_archive(path), path)


@fuzzed
@given(seed=st.integers(0, 2**31))
def test_tables_of_masks(place: Path, seed: int) -> None:
    good, path = place / "masks.parquet", place / "predictions.parquet"
    if not good.is_file():
        masks = np.random.default_rng(0).random((20, 9, 7)) < 0.5
        write_masks(good, enumerate(masks))
    path.write_bytes(changed(good.read_bytes(), random.Random(seed)))

    def read() -> None:
        for line in read_masks(path).values():
            mask_of(line)

    read_or_refused("predictions.parquet", read, path, "a mask ", "the run lengths ")
