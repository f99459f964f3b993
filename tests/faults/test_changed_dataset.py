"""The dataset changes between start and resume: the run is refused, naming what is another."""

import shutil
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from datasets_prep.errors import DatasetError
from tests.faults.runs import KEY, counts, run
from tests.faults.test_torn_chunk import stop_after
from tests.tiny import tiny_dataset


@pytest.fixture
def begun(root: Path, tmp_path: Path) -> Path:
    """A run of five batches on a dataset of its own."""
    shutil.copytree(root / "data", tmp_path / "data")
    stop_after(tmp_path, tmp_path / "results", 5)
    return tmp_path


def test_another_content_is_refused(begun: Path) -> None:
    shutil.rmtree(begun / "data")
    tiny_dataset(begun / "data", images=25)
    with pytest.raises(BenchError, match=r"was begun with dataset\.digest = '\w+', now it is '\w+"):
        run(begun, begun / "results")
    assert (KEY.folder(begun / "results") / "journal.jsonl").exists()


def test_a_finished_result_is_refused_too(begun: Path) -> None:
    run(begun, begun / "results")
    shutil.rmtree(begun / "data")
    tiny_dataset(begun / "data", images=25)
    with pytest.raises(BenchError, match=r"dataset\.digest.*start again with --fresh"):
        run(begun, begun / "results")


def test_an_edited_episode_list_is_refused(begun: Path) -> None:
    path = begun / "data/tiny/episodes/fixed-v1/fold0_1shot.jsonl"
    path.chmod(0o644)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0].replace("img_", "IMG_"), *lines[1:]]))
    with pytest.raises(DatasetError, match=r"has digest \w+, but \w+ was prepared"):
        run(begun, begun / "results")


def test_the_same_content_prepared_again_goes_on(begun: Path, root: Path) -> None:
    shutil.rmtree(begun / "data")
    tiny_dataset(begun / "data")
    record = run(begun, begun / "results").record
    assert record is not None and record.sittings == 2
    run(root, begun / "unbroken")
    assert counts(begun / "results") == counts(begun / "unbroken")
