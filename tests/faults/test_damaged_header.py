"""A journal's first line is JSON but no setup: what cannot be used is refused or begun anew."""

import json
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from tests.faults.runs import KEY, config, run
from tests.faults.test_changed_code import stopped


@pytest.mark.parametrize("size", ["x", 0, -1])
def test_a_batch_size_that_is_none(root: Path, tmp_path: Path, size: object) -> None:
    stopped(config(root, tmp_path))
    path = KEY.folder(tmp_path) / "journal.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    header = json.loads(first)
    header["setup"]["batch_size"] = size
    path.write_text("".join([json.dumps(header) + "\n", *others]))
    with pytest.raises(BenchError, match=f"was begun with batch_size = {size!r}, now it is 3"):
        run(root, tmp_path)
    path.write_text(json.dumps(header) + "\n")
    record = run(root, tmp_path).record
    assert record is not None and record.setup.batch_size == 3
