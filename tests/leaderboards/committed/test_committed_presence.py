"""What a model says of a class's presence, among the results of the repository."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results.store import read_result
from leaderboards.committed.curate import add, check
from leaderboards.committed.files import committed_json, read_committed
from tests.leaderboards.synthetic import write_model


def test_the_repository_keeps_it_and_finds_what_was_changed(tmp_path: Path) -> None:
    keys = write_model(tmp_path, "alpha", protocol="absent-v1", presence=True)
    plain = write_model(tmp_path, "beta", protocol="absent-v1")
    root = tmp_path / "c"
    add([read_result(tmp_path, key) for key in (*keys, *plain)], root)
    assert check(root).problems == ()
    kept, measured = read_committed(root, keys[0]), read_result(tmp_path, keys[0])
    assert kept.counts.presence is not None and measured.counts.presence is not None
    assert kept.counts.presence.tobytes() == measured.counts.presence.tobytes()
    assert json.loads(committed_json(root, plain[0]).read_text())["further_digest"] is None
    path = committed_json(root, keys[0]).with_suffix(".parquet")
    table = pq.read_table(path)
    place = table.column_names.index("presence")
    values = table.column("presence").to_pylist()
    values[3] *= 1 + 2**-52
    better = table.set_column(place, "presence", pa.array(values))
    for forged in (better, table.drop_columns(["presence"])):
        pq.write_table(forged, path)
        problem, *_ = check(root).problems
        assert f"{keys[0]}: " in problem and "is not the table that" in problem
    other = committed_json(root, plain[0]).with_suffix(".parquet")
    pq.write_table(pq.read_table(other).append_column("presence", pa.array(values)), other)
    assert any(str(plain[0]) in problem for problem in check(root).problems)


def test_a_result_without_it_gives_way_to_one_that_has_it(tmp_path: Path) -> None:
    first = write_model(tmp_path / "then", "alpha", protocol="absent-v1")
    root = tmp_path / "c"
    add([read_result(tmp_path / "then", key) for key in first], root)
    write_model(tmp_path / "now", "alpha", protocol="absent-v1", presence=True)
    add([read_result(tmp_path / "now", key) for key in first], root)
    assert check(root).problems == ()
    then, now = read_result(tmp_path / "then", first[0]), read_committed(root, first[0])
    assert then.counts.presence is None and now.counts.presence is not None
    assert then.counts.areas.tolist() == now.counts.areas.tolist()
