import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from datasets_prep.episodes.recipes import recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from tests.datasets_prep import toy
from tests.datasets_prep.toy import Toy


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"fixed-v1": recipes()["fixed-v1"]}
    monkeypatch.setattr(lists_module, "recipes", lambda: few)


def prepared(root: Path, embed: bool = False, **options: object) -> PreparedDataset:
    return prepare(Toy(**options), PrepareOptions(root, shots=(1,), embed_images=embed))


@pytest.mark.parametrize(
    ("embed", "options"),
    [(False, {}), (False, {"files": True}), (True, {"files": True}), (False, {"overlap": True})],
    ids=["generated", "files", "embedded", "overlapping"],
)
def test_the_datasets_library_opens_the_table_and_agrees(
    embed: bool, options: dict[str, object], tmp_path: Path
) -> None:
    dataset = prepared(tmp_path, embed, **options)
    table = datasets.load_from_disk(str(dataset.root / "images"))
    assert tuple(table["image_id"]) == dataset.image_ids
    for row in table:
        name = row["image_id"]
        image = row["image"]
        if isinstance(image, str):
            image = Image.open(dataset.root / image)
        assert np.array_equal(np.asarray(image), np.asarray(dataset.image(name)))
        assert (row["height"], row["width"]) == dataset.size(name) == (toy.HEIGHT, toy.WIDTH)
        if row["label_map"] is not None:
            assert np.array_equal(np.asarray(row["label_map"]), dataset.labels(name))
        else:
            assert {mask["class"] for mask in row["masks"]}
    assert isinstance(table[0]["image"], str) == (options == {"files": True} and not embed)


def test_label_maps_become_masks_with_ignore(tmp_path: Path) -> None:
    dataset = prepared(tmp_path)
    for index, name in enumerate(dataset.image_ids):
        labels = toy.labels(index)
        assert np.array_equal(dataset.labels(name), labels)
        for class_index in range(4):
            expected = np.where(labels == 255, 255, labels == class_index + 1)
            assert np.array_equal(dataset.mask(name, class_index), expected)


def test_overlapping_masks_come_back_whole(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, overlap=True)
    absent = np.zeros((toy.HEIGHT, toy.WIDTH), dtype=bool)
    for index, name in enumerate(dataset.image_ids):
        for class_index in range(4):
            expected = toy.masks(index).get(class_index, absent)
            mask = dataset.mask(name, class_index)
            assert mask.dtype == np.uint8
            assert np.array_equal(mask, expected)
    with pytest.raises(DatasetError, match="no label maps"):
        dataset.labels(dataset.image_ids[0])
    assert [p for image in dataset.image_ids for p in dataset.problems(image)] == []


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'toy' is not prepared .*bench prepare folder"):
        PreparedDataset(tmp_path, "toy")
    dataset = prepared(tmp_path)
    for method in (dataset.image, dataset.labels, dataset.size):
        with pytest.raises(DatasetError, match="no image 'nobody'"):
            method("nobody")
    with pytest.raises(DatasetError, match=r"--shots 1,10"):
        dataset.episodes("fixed-v1", 0, 10)
    with pytest.raises(DatasetError, match="no fold 7"):
        dataset.folds.fold(7)


def test_a_damaged_or_changed_image_is_named(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, files=True)
    path = dataset.root / "raw" / "a_000.0.png"
    path.chmod(0o600)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"raw/a_000\.0\.png"):
        dataset.image("a_000")
    assert dataset.problems("a_000")
    bigger = io.BytesIO()
    Image.new("RGB", (toy.WIDTH + 1, toy.HEIGHT)).save(bigger, format="PNG")
    path.write_bytes(bigger.getvalue())
    with pytest.raises(DatasetError, match="13×10, not as prepared"):
        dataset.image("a_000")
    assert dataset.image("b_001").size == (toy.WIDTH, toy.HEIGHT)


def test_an_image_with_transparency_is_read_as_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (toy.WIDTH, toy.HEIGHT), (1, 2, 3, 4)).save(file, format="PNG")
    monkeypatch.setattr(toy, "encode_png", lambda pixels: file.getvalue())
    dataset = prepared(tmp_path, files=True)
    assert np.asarray(dataset.image("a_000"))[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_is_named(text: str, tmp_path: Path) -> None:
    prepared(tmp_path)
    (tmp_path / "toy" / "manifest.json").write_text(text)
    with pytest.raises(
        DatasetError, match=r"manifest\.json is damaged; run: bench prepare folder \.\.\."
    ):
        PreparedDataset(tmp_path, "toy")


@pytest.mark.parametrize("part", ["counts", "lists"])
def test_a_manifest_without_a_part_is_damaged(part: str, tmp_path: Path) -> None:
    manifest = dict(prepared(tmp_path).manifest)
    del manifest[part]
    (tmp_path / "toy" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"manifest\.json is damaged"):
        PreparedDataset(tmp_path, "toy")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    dataset = prepared(tmp_path)
    manifest = dataset.root / "manifest.json"
    manifest.write_text(json.dumps({**dataset.manifest, "schema": 99}))
    with pytest.raises(DatasetError, match="schema 99, this version reads 1"):
        PreparedDataset(tmp_path, "toy")


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("classes.json", "classes"), ("folds.json", "folds"), ("images/state.json", "image_ids")],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "other"])
def test_a_damaged_part_is_one_message(
    name: str, attribute: str, damage: str, tmp_path: Path
) -> None:
    dataset = prepared(tmp_path)
    path = dataset.root / name
    path.unlink() if damage == "missing" else path.write_text("" if damage == "empty" else "{}")
    with pytest.raises(DatasetError, match="prepare"):
        getattr(dataset, attribute)


def test_a_truncated_table_is_one_message(tmp_path: Path) -> None:
    dataset = prepared(tmp_path)
    (table,) = (dataset.root / "images").glob("*.arrow")
    table.write_bytes(table.read_bytes()[:-5000])
    with pytest.raises(DatasetError, match="cannot read"):
        _ = dataset.image_ids


def test_a_changed_episode_list_names_both_digests(tmp_path: Path) -> None:
    dataset = prepared(tmp_path)
    recorded = dataset.manifest["episodes"]["fixed-v1/fold0_1shot"]["digest"]
    path = dataset.root / "episodes" / "fixed-v1" / "fold0_1shot.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(DatasetError, match=f"has digest [0-9a-f]{{64}}, but {recorded}"):
        dataset.episodes("fixed-v1", 0, 1)


def test_a_misspelt_dataset_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"did you mean shapes\?"):
        PreparedDataset(tmp_path, "shaps")
    with pytest.raises(DatasetError, match="run: bench prepare shapes"):
        PreparedDataset(tmp_path, "shapes")
    with pytest.raises(DatasetError, match=r"run: bench prepare pascal --partial$"):
        PreparedDataset(tmp_path, "pascal-partial")
