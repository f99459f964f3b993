"""What `bench datasets` says of the prepared and the missing, and of what they share."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.cli import main
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    tiny_dataset(root)
    return root


@pytest.fixture(autouse=True)
def place(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(data_root))
    yield


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


# --- leaks ---


def test_leaks_are_counted_and_named_and_the_exit_code_tells() -> None:
    table = bench("datasets", "leaks", "tiny", "--exact", code=1).stdout.splitlines()
    assert table[0].split() == ["seen", "tested", "images", "same", "equal", "alike", "classes"]
    assert table[2].split("   ")[0].strip() == "train of fold 0"
    (one, two) = json.loads(bench("datasets", "leaks", "tiny", "--exact", "--json", code=1).stdout)
    # Both parts hold every image; those that show a base and a novel class are in both.
    assert 0 < len(one["same"]) < one["images"] and one["equal"] == one["near"] == []
    assert two["tested"] == "test of fold 1"


def test_two_datasets_are_compared_and_one_is_not_compared_with_itself(
    tmp_path: Path, data_root: Path
) -> None:
    for name in ("tiny", "twin"):
        shutil.copytree(data_root / "tiny", tmp_path / "data" / name)
    out = bench("datasets", "leaks", "tiny", "twin", "--data-root", "data", "--exact", "--show",
                "1", code=1).stdout.splitlines()  # fmt: skip
    assert out[2].split() == ["train", "and", "test", "of", "tiny", "train", "and", "test", "of",
                              "twin", "24", "0", "24", "0", "4"]  # fmt: skip
    assert out[3:] == [
        "train and test of twin: img_000 equals img_000 of train and test of tiny",
        "train and test of twin: classes by name in train and test of tiny: "
        "disc, bar, corner, stripe",
    ]
    assert "named twice" in bench("datasets", "leaks", "tiny", "tiny", code=2).stderr


# --- export ---


def test_export_writes_once_and_says_so(tmp_path: Path) -> None:
    assert bench("export", "tiny").stdout == "tiny-parquet: 24 images\n"
    assert (tmp_path / "tiny-parquet/data/full-00000-of-00001.parquet").is_file()
    again = bench("export", "tiny").stdout
    assert again == "tiny-parquet: 24 images, written before and left as it is\n"
    bench("export", "tiny", "--format", "webdataset", "--out", "some/tars", "--quiet")
    assert (tmp_path / "some/tars/data/full-00000-of-00001.tar").is_file()


def test_pushing_is_private_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[tuple[str, str, bool]] = []

    def push(folder: Path, repo: str, *, private: bool) -> None:
        pushed.append((str(folder), repo, private))

    monkeypatch.setattr("datasets_prep.hub.push", push)
    said = bench("export", "tiny", "--push-to-hub", "me/tiny").stdout
    assert said.endswith("pushed to https://huggingface.co/datasets/me/tiny\n")
    bench("export", "tiny", "--push-to-hub", "me/tiny", "--public")
    assert pushed == [("tiny-parquet", "me/tiny", True), ("tiny-parquet", "me/tiny", False)]
    tars = ("export", "tiny", "--format", "webdataset", "--push-to-hub", "me/tiny")
    assert "leave --format out" in bench(*tars, code=2).stderr
    assert "--push-to-hub" in bench("export", "tiny", "--public", code=2).stderr
