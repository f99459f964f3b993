"""A finished result that was damaged, or moved, is refused by the name of its file."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchError
from benchmarks.results.store import read_result
from tests.leaderboards.synthetic import write_run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["bg_union"]), "columns of a result"),
        (lambda table: table.slice(1), "does not hold the 20 episodes"),
        (lambda table: table.take([0, *range(19)]), "does not hold the 20 episodes"),
        (
            lambda table: table.set_column(
                3, "fg_intersection", pa.array([float("nan")] * 20, pa.float64())
            ),
            "columns of a result",
        ),
        (
            lambda table: table.set_column(3, "fg_intersection", pa.array([None] * 20, pa.int64())),
            "columns of a result",
        ),
        (
            lambda table: table.set_column(3, "fg_intersection", pa.array([-1] * 20, pa.int64())),
            "counts below 0",
        ),
        (
            lambda table: table.set_column(1, "class_id", pa.array([7] * 20, pa.int64())),
            "classes that its record does not name",
        ),
    ],
)
def test_a_damaged_parquet_is_refused_by_name(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    key = write_run(tmp_path, count=20)
    path = key.folder(tmp_path) / "episodes.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(BenchError, match=said) as error:
        read_result(tmp_path, key)
    assert "episodes.parquet" in str(error.value)


def test_a_damaged_or_moved_record_is_refused_by_name(tmp_path: Path) -> None:
    key = write_run(tmp_path, count=20)
    folder = key.folder(tmp_path)
    path = folder / "run.json"
    record = json.loads(path.read_text())
    for change, said in (
        ({"miou": "high"}, "miou"),
        ({"surprise": 1}, "surprise"),
        ({"setup": {**record["setup"], "fold": 1}}, "another run"),
    ):
        path.write_text(json.dumps({**record, **change}))
        with pytest.raises(BenchError, match=said) as error:
            read_result(tmp_path, key)
        assert "run.json" in str(error.value)
    path.write_text("{")
    with pytest.raises(BenchError, match=r"run\.json is not a result"):
        read_result(tmp_path, key)
    (folder / "episodes.parquet").write_bytes(b"PAR1")
    path.write_text(json.dumps(record))
    with pytest.raises(BenchError, match=r"cannot read .*episodes\.parquet"):
        read_result(tmp_path, key)
