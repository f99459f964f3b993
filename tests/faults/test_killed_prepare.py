"""The preparation is killed at any moment: there is a whole dataset or none, and again goes on.

`tests/datasets_prep/test_prepare.py` dies between any two changes of the file system.
"""

import multiprocessing
from pathlib import Path

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.faults.runs import files
from tests.tiny import tiny_dataset


def test_kills_leave_a_whole_dataset_or_none(root: Path, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ended = set()
    for seconds in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        child = fork.Process(target=tiny_dataset, args=(tmp_path / "data",))
        child.start()
        child.join(seconds)
        child.kill()
        child.join()
        try:
            found = PreparedDataset(tmp_path / "data", "tiny")
        except DatasetError as error:
            assert "not prepared" in str(error)
            ended.add("none")
        else:
            assert verify(found, full=True) == []
            ended.add("whole")
    assert "none" in ended
    tiny_dataset(tmp_path / "data")
    assert files(tmp_path / "data") == files(root / "data")
