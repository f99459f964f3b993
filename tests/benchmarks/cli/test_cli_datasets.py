"""What `bench datasets` says of the prepared and the missing, and of what they share."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.prepared import dataset
from datasets_prep.prepared.folds import FoldSet
from tests.benchmarks.cli import terminal
from tests.benchmarks.cli.terminal import bench

data_root, place = terminal.data_root, terminal.place


# --- the list ---


def listed(*args: str) -> dict[str, dict[str, Any]]:
    return {e["dataset"]: e for e in json.loads(bench("datasets", "--json", *args).stdout)}


def test_a_prepared_dataset_is_described(data_root: Path) -> None:
    tiny = listed()["tiny"]
    assert (tiny["images"], tiny["classes"], tiny["folds"]) == (24, 4, 2)
    files = [path for path in (data_root / "tiny").rglob("*") if path.is_file()]
    assert tiny["bytes"] == sum(path.stat().st_size for path in files)
    assert tiny["protocols"]["hsnet@512"] == [1, 2]
    assert tiny["missing"] == ["5-shot lists; run: bench prepare folder ... --shots 1,5"]
    row = bench("datasets").stdout.splitlines()[2]
    size = f"{tiny['bytes'] / 1e6:.0f}"
    assert row.split()[:6] == ["tiny", size, "MB", "24", "4", "2"]
    assert tiny["digest"][:12] in row and "1,2-shot: fixed-v1, hsnet" in row


def test_what_is_not_prepared_names_the_command_and_what_it_takes(tmp_path: Path) -> None:
    entries = listed()
    coco = entries["coco"]
    assert not coco["prepared"] and coco["command"] == "bench prepare coco"
    assert coco["missing"] == [
        "not prepared; run: bench prepare coco", "fetches more than 20.4 GB"
    ]  # fmt: skip
    suim = entries["suim"]
    assert suim["by_hand"] == ["train_val.zip", "TEST.zip"]
    assert suim["command"] == "bench prepare suim --from FOLDER"
    assert entries["folder"]["missing"] == ["not prepared; see: bench prepare folder --help"]
    raw = tmp_path / "data/suim/raw"
    raw.mkdir(parents=True)
    (raw / "TEST.zip").write_bytes(bytes(2_000_000))
    begun = listed("--data-root", "data")["suim"]
    assert begun["by_hand"] == ["train_val.zip"] and begun["missing"][-1] == "2 MB are there"


def test_groups_say_how_many_of_them_are_prepared(tmp_path: Path, data_root: Path) -> None:
    line = "cdfss stands for fss1000, isic2018, chestxray, deepglobe: {} of 4 are prepared"
    assert bench("datasets").stdout.splitlines()[-1] == line.format(0)
    shutil.copytree(data_root / "tiny", tmp_path / "data/deepglobe")
    out = bench("datasets", "--data-root", "data").stdout
    assert out.splitlines()[-1] == line.format(1)


def test_what_a_prepared_dataset_lacks_is_said_with_its_reason(
    tmp_path: Path, data_root: Path
) -> None:
    shutil.copytree(data_root / "tiny", tmp_path / "data/tiny")
    path = tmp_path / "data/tiny/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["skipped"] = ["a.jpg", "b.jpg"]
    for fold in (0, 1):
        for shots in (1, 2, 5):
            manifest["episodes"][f"pfenet/fold{fold}_{shots}shot"] = {"episodes": 1, "digest": "x"}
    for name in [name for name in manifest["episodes"] if name.startswith("hsnet/fold1")]:
        del manifest["episodes"][name]
    manifest["notes"] = ["no episode list hsnet/fold1_1shot: class 3 has one image"]
    path.write_text(json.dumps(manifest))
    (tmp_path / "data/tiny/folds.json").unlink()
    tiny = listed("--data-root", "data")["tiny"]
    assert tiny["missing"] == [
        "1 files, such as folds.json; see: bench datasets verify tiny",
        "2 images that were skipped",
        "hsnet 1-shot in 1 of 2 folds (class 3 has one image)",
        "5-shot lists; run: bench prepare folder ... --shots 1,5",
    ]
    assert "hsnet" not in tiny["protocols"] and tiny["protocols"]["pfenet"] == [1, 2, 5]
    for name in [name for name in manifest["episodes"] if name.startswith("fixed-v1/fold1_1")]:
        del manifest["episodes"][name]
    manifest["notes"].append("no episode list fixed-v1/fold1_1shot: class 3 has one image")
    path.write_text(json.dumps(manifest))
    # One reason is said once, and no line of a pipe is wider than a page.
    said = "fixed-v1, hsnet 1-shot in 1 of 2 folds (class 3 has one image)"
    assert said in listed("--data-root", "data")["tiny"]["missing"]
    assert max(map(len, bench("datasets", "--data-root", "data").stdout.splitlines())) <= 110


def test_folds_of_what_is_prepared_in_part_need_not_begin_at_0(
    tmp_path: Path, data_root: Path
) -> None:
    shutil.copytree(data_root / "tiny", tmp_path / "data/tiny")
    path = tmp_path / "data/tiny/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["counts"]["folds"] = 1
    manifest["episodes"] = {k: v for k, v in manifest["episodes"].items() if "/fold1_" in k}
    path.write_text(json.dumps(manifest))
    assert 1 in listed("--data-root", "data")["tiny"]["protocols"]["fixed-v1"]


def test_a_part_of_a_dataset_does_not_hide_the_whole(tmp_path: Path, data_root: Path) -> None:
    shutil.copytree(data_root / "tiny", tmp_path / "data/pascal-partial")
    path = tmp_path / "data/pascal-partial/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["builder"]["name"] = "pascal"
    path.write_text(json.dumps(manifest))
    entries = listed("--data-root", "data")
    assert entries["pascal-partial"]["prepared"] and not entries["pascal"]["prepared"]
    assert entries["pascal-partial"]["missing"] == [
        "5-shot lists; run: bench prepare pascal --partial --shots 1,5"
    ]


def test_one_damaged_dataset_does_not_hide_the_others(tmp_path: Path, data_root: Path) -> None:
    shutil.copytree(data_root / "tiny", tmp_path / "data/tiny")
    (tmp_path / "data/coco").mkdir()
    (tmp_path / "data/coco/manifest.json").write_text("{")
    entries = listed("--data-root", "data")
    assert entries["tiny"]["prepared"] and not entries["coco"]["prepared"]
    assert "coco/manifest.json is damaged; run: bench prepare coco" in entries["coco"]["missing"][0]
    assert "is damaged" in bench("datasets", "--data-root", "data").stdout


# --- leaks ---


def test_leaks_are_counted_and_named_and_the_exit_code_tells() -> None:
    table = bench("datasets", "leaks", "tiny", "--exact", code=1).stdout.splitlines()
    assert table[0].split() == [
        "seen", "tested", "images", "same", "equal", "alike", "classes", "copies"]  # fmt: skip
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
                              "twin", "24", "0", "24", "0", "4", "0"]  # fmt: skip
    assert out[3:] == [
        "train and test of twin: img_000 equals img_000 of train and test of tiny",
        "train and test of twin: classes by name in train and test of tiny: "
        "disc, bar, corner, stripe",
    ]
    assert "named twice" in bench("datasets", "leaks", "tiny", "tiny", code=2).stderr


def test_a_part_without_prepared_images_is_not_without_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = dataset.read_folds
    monkeypatch.setattr(
        dataset,
        "read_folds",
        lambda path: FoldSet(tuple(replace(fold, train=()) for fold in read(path).folds)),
    )
    boards = tmp_path / "boards"
    done = bench("datasets", "leaks", "tiny", "--exact", "--note", "--boards", str(boards))
    row = done.stdout.splitlines()[2].split()
    assert row[-5:] == ["–", "–", "–", "0", "0"]
    assert "train of fold 0: 0 of its 0 images are prepared" in done.stdout
    assert json.loads((boards / "leaks.json").read_text()) == {"tiny": {"tiny": []}}


def test_options_that_exact_does_not_read_are_refused() -> None:
    for option in (("--distance", "3"), ("--jobs", "2")):
        said = bench("datasets", "leaks", "tiny", "--exact", *option, code=2).stderr
        assert f"reads no {option[0]}" in said


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

    monkeypatch.setattr("datasets_prep.export.hub.push", push)
    said = bench("export", "tiny", "--push-to-hub", "me/tiny").stdout
    assert said.endswith("pushed to https://huggingface.co/datasets/me/tiny\n")
    bench("export", "tiny", "--push-to-hub", "me/tiny", "--public")
    assert pushed == [("tiny-parquet", "me/tiny", True), ("tiny-parquet", "me/tiny", False)]
    tars = ("export", "tiny", "--format", "webdataset", "--push-to-hub", "me/tiny")
    assert "leave --format out" in bench(*tars, code=2).stderr
    assert "--push-to-hub" in bench("export", "tiny", "--public", code=2).stderr
