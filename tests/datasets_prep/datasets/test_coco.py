import copy
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep.datasets.coco import Coco, CocoOptions
from datasets_prep.datasets.coco.classes import CLASSES
from datasets_prep.datasets.coco.release import COCO2014, Release
from datasets_prep.episodes import pfenet
from datasets_prep.episodes.recipes import USUAL
from datasets_prep.errors import DatasetError
from datasets_prep.export.folder import export
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.coco_fixture import (
    HEIGHT,
    SPECIAL,
    WIDTH,
    TinyCoco,
    plain_labels,
    write_tiny_coco,
)
from tests.datasets_prep.server import Reply, running

Tiny = tuple[TinyCoco, Release]


@pytest.fixture(scope="module", autouse=True)
def short_lists() -> Iterator[None]:
    """PFENet's 20,000 episodes a list would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pfenet, "COCO_EPISODES", 200)
        patch.setattr(pfenet, "BAM_EPISODES", 40)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny_coco(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def prepared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny[1], tmp_path_factory.mktemp("data"), tiny[0].folder)


def run(
    release: Release,
    data_root: Path,
    from_dir: Path,
    *,
    jobs: int = 1,
    embed: bool = False,
    **options: str,
) -> PreparedDataset:
    builder = Coco(CocoOptions.model_validate(options), release)
    shots = (1, 2)  # there are three images a class
    return prepare(
        builder, PrepareOptions(data_root, from_dir, jobs=jobs, embed_images=embed, shots=shots)
    )


def unpacked(tiny: TinyCoco, folder: Path) -> Path:
    """The archives as the user may have them: extracted, with the lists beside."""
    for archive in tiny.folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder)
    shutil.copytree(tiny.folder / "coco", folder / "coco")
    return folder


def lists(dataset: PreparedDataset) -> dict[str, bytes]:
    """All that must not depend on the machine or on the number of workers."""
    root = dataset.root
    files = [root / "classes.json", root / "folds.json", *root.glob("episodes/*/*")]
    result = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return result | {"digest": dataset.digest.encode()}


def annotated(tiny: TinyCoco) -> list[str]:
    return sorted(
        image["file_name"].removesuffix(".jpg")
        for part in tiny.instances.values()
        for image in part["images"]
        if any(a["image_id"] == image["id"] and not a["iscrowd"] for a in part["annotations"])
    )


def test_labels_are_those_of_ann_to_mask(tiny: Tiny, prepared: PreparedDataset) -> None:
    assert prepared.classes == CLASSES
    assert list(prepared.image_ids) == annotated(tiny[0])
    for image in prepared.image_ids:
        plain = plain_labels(tiny[0].annotations(image))
        np.testing.assert_array_equal(prepared.labels(image), plain)
    labels = prepared.labels(SPECIAL)
    assert not (labels == 9).any()  # hidden by a later object
    assert labels[150, 120] == 0  # crowds are background
    assert verify(prepared, full=True) == []


def test_published_lists_are_kept_in_their_order(tiny: Tiny, prepared: PreparedDataset) -> None:
    for fold in prepared.folds.folds:
        assert fold.novel == tuple(range(fold.index, 80, 4))
        for part, pairs in (("val", fold.test), ("trn", fold.train)):
            stored = tiny[0].lists[f"{part}/fold{fold.index}.pkl"]
            assert pairs == tuple(
                (name.split("/")[1].removesuffix(".jpg"), index)
                for index in range(80)
                for name in stored[index]
            )
    assert (prepared.folds.lists, prepared.folds.query_order) == ("published", "draw")
    assert prepared.manifest["counts"]["test_pairs"] == [60] * 4
    assert prepared.manifest["counts"]["train_pairs"] == [120] * 4


def test_every_recipe_draws(prepared: PreparedDataset) -> None:
    sizes = {name: entry["episodes"] for name, entry in prepared.manifest["episodes"].items()}
    assert {name: size for name, size in sizes.items() if name.endswith("fold3_2shot")} == {
        "hsnet/fold3_2shot": 1000,
        "fixed-v1/fold3_2shot": 1000,
        "pfenet/fold3_2shot": 200,
        "bam/fold3_2shot": 5 * 40,
        "mini-v1/fold3_2shot": 200,
        "nway2-v1/fold3_2shot": 1040,
        "nway5-v1/fold3_2shot": 2600,
    }
    assert len([name for name in sizes if name.split("/")[0] in USUAL]) == 4 * 4 * 2
    episode = prepared.episodes("hsnet", 1, 1)[0]
    assert prepared.mask(episode.query, episode.class_index).sum() > 3000


def test_the_report_says_what_the_lists_lack(prepared: PreparedDataset) -> None:
    assert any("test pairs of fold 0: 1 of at least 2048" in n for n in prepared.manifest["notes"])
    report = (prepared.root / "lists-report.txt").read_text()
    assert f"test pairs of fold 0: only here\t{SPECIAL}\t4 airplane\t8175 pixels\n" in report


def test_jobs_and_extracted_folders_change_nothing(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = unpacked(tiny[0], tmp_path / "mine")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*")}
    dataset = run(tiny[1], tmp_path / "data", folder, jobs=2)
    assert lists(dataset) == lists(prepared)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*")} == before
    embedded = run(tiny[1], tmp_path / "embedded", folder, embed=True)
    assert embedded.digest == dataset.digest
    assert not list((embedded.root / "raw").rglob("*.jpg"))
    shutil.rmtree(folder)
    for each in (dataset, embedded):
        assert verify(each, full=True) == []


def test_first_polygon_leaves_other_parts(tiny: Tiny, tmp_path: Path) -> None:
    dataset = run(tiny[1], tmp_path, tiny[0].folder, masks="first-polygon")
    labels = dataset.labels(SPECIAL)
    assert labels[60, 30] == 5
    assert labels[60, 150] == 0
    assert (labels[HEIGHT - 51 :, WIDTH - 31 :] == 13).all()  # 2048 ≤ 51·31 is not met
    assert (labels == 13).sum() == 51 * 31


def test_per_class_keeps_what_overlaps(tiny: Tiny, tmp_path: Path) -> None:
    dataset = run(tiny[1], tmp_path, tiny[0].folder, masks="per-class")
    for index in (0, 4, 8, 12):
        own = [a for a in tiny[0].annotations(SPECIAL) if CLASSES[index] == _name(a)]
        expected = plain_labels(own) > 0
        assert expected.any()
        np.testing.assert_array_equal(dataset.mask(SPECIAL, index), expected)
    with pytest.raises(DatasetError, match="no label maps"):
        dataset.labels(SPECIAL)
    assert verify(dataset, full=True) == []


def _name(annotation: dict[str, Any]) -> str:
    from datasets_prep.datasets.coco.classes import CATEGORIES

    return CATEGORIES[annotation["category_id"]]


def test_derived_lists_need_no_pickles(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder, ignore=shutil.ignore_patterns("coco"))
    folds = run(tiny[1], tmp_path / "data", folder, lists="derived").folds
    assert folds.lists == "derived"
    assert (SPECIAL, 4) in folds.folds[0].test
    assert (SPECIAL, 0) not in folds.folds[0].test  # 35 by 35 pixels
    images = [image for image, index in folds.folds[2].test if index == 2]
    assert images == sorted(images)
    assert len(images) == 3


def test_test_alone_needs_no_training_archive(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder, ignore=shutil.ignore_patterns("train2014.zip", "trn"))
    dataset = run(tiny[1], tmp_path / "data", folder, only="test")
    assert len(dataset.image_ids) == 13
    assert [len(fold.train) for fold in dataset.folds.folds] == [0] * 4


def test_single_images_are_fetched_and_remembered(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(
        tiny[0].folder, folder, ignore=shutil.ignore_patterns("t*2014.zip", "val2014.zip", "trn")
    )
    with running() as server:
        for name, content in tiny[0].images["val2014"].items():
            address = server.serve(f"/val2014/{name}", Reply(content))
        release = replace(tiny[1], single=address.rpartition("/")[0])
        dataset = run(release, tmp_path / "data", folder, only="eval")
        asked = [request.path for request in server.requests]
        assert len(asked) == len(set(asked)) == len(dataset.image_ids) == 12
        assert not any(SPECIAL in path for path in asked)  # no list names it
        raw = dataset.root / "raw/val2014-single"
        assert {path.suffix for path in raw.iterdir()} == {".jpg", ".json"}
        for fold in range(4):
            for recipe in ("hsnet", "fixed-v1"):
                assert dataset.episodes(recipe, fold, 2) == prepared.episodes(recipe, fold, 2)
        image = dataset.image_ids[0]
        np.testing.assert_array_equal(dataset.labels(image), prepared.labels(image))

        again = run(release, tmp_path / "data", folder, only="eval")
        assert again.digest == dataset.digest
        assert len(server.requests) == len(asked)

        torn = raw / f"{image}.jpg"
        torn.chmod(0o644)
        torn.write_bytes(tiny[0].images["val2014"][f"{SPECIAL}.jpg"])
        with pytest.raises(DatasetError, match=f"{image}.jpg is not what it was: sha256"):
            run(release, tmp_path / "data", folder, only="eval")


def test_lists_that_name_other_images_are_not_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = "COCO_val2014_000000000103"
    kept = [i for i in annotated(tiny[0]) if "val2014" in i and i != left_out]
    monkeypatch.setattr("datasets_prep.datasets.coco.builder.named_images", lambda *_: kept)
    folder = tmp_path / "data/coco/raw/val2014-single"
    folder.mkdir(parents=True)
    for name, content in tiny[0].images["val2014"].items():
        (folder / name).write_bytes(content)
    dataset = run(tiny[1], tmp_path / "data", tiny[0].folder, only="eval")
    assert dataset.episodes("hsnet", 0, 1)
    with pytest.raises(
        DatasetError, match=r"image COCO_val2014_\d+3 of episode \d+ is not prepared"
    ):
        dataset.episodes("hsnet", 3, 1)
    with pytest.raises(DatasetError, match="draws among the classes of each label map"):
        dataset.episodes("pfenet", 3, 1)


def test_an_image_that_cannot_be_fetched_is_named(tiny: Tiny, tmp_path: Path) -> None:
    with running() as server:
        for name in tiny[0].images["val2014"]:
            address = server.serve(f"/val2014/{name}", Reply(status=404))
        release = replace(tiny[1], single=address.rpartition("/")[0])
        with pytest.raises(DatasetError, match=r"COCO_val2014_\d+\.jpg .*\n.*404\n.*--only test"):
            run(release, tmp_path / "data", tiny[0].folder, only="eval")
    assert not (tmp_path / "data/coco/manifest.json").exists()


def test_single_images_need_published_lists() -> None:
    with pytest.raises(ValueError, match="--only eval needs --lists published"):
        CocoOptions(only="eval", lists="derived")


def test_every_wrong_file_is_named_and_nothing_is_left(tiny: Tiny, tmp_path: Path) -> None:
    folder = unpacked(tiny[0], tmp_path / "mine")
    names = sorted(tiny[0].images["val2014"])
    torn, missing, other, outline, crowd = names[3:8]
    (folder / "val2014" / torn).write_bytes(tiny[0].images["val2014"][torn][:2000])
    (folder / "val2014" / missing).unlink()
    content = copy.deepcopy(tiny[0].instances["val2014"])
    by_name = {image["file_name"]: image for image in content["images"]}
    by_name[other]["height"] = HEIGHT + 1
    wrong = next(a for a in content["annotations"] if a["image_id"] == by_name[outline]["id"])
    wrong["segmentation"] = [[0.0, 0.0, 9e9, 0.0, 5.0, 5.0]]
    content["annotations"].append(
        {**wrong, "id": 4242, "image_id": by_name[crowd]["id"], "iscrowd": 1,
         "segmentation": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}}
    )  # fmt: skip
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError) as caught:
        run(tiny[1], tmp_path / "data", folder, only="test")
    lines = str(caught.value).splitlines()
    assert lines[0] == "these files are wrong:"
    assert f"{torn} is not a readable image" in lines[1]
    assert f"{missing} is not a readable image" in lines[2]
    assert f"{other} is 320×256, but 320×257 in" in lines[3]
    assert f"annotation {wrong['id']} has a polygon far outside" in lines[4]
    assert "annotation 4242 has an RLE of size [320, 256]" in lines[5]
    assert lines[5].endswith(f"(of {crowd})")
    annotated = {a["image_id"] for a in content["annotations"] if not a["iscrowd"]}
    remain = len(annotated) - 5
    assert lines[6] == f"--skip-bad leaves these out by name; {remain} images would remain"
    assert len(lines) == 7
    root = tmp_path / "data/coco"
    assert sorted(path.name for path in root.iterdir() if path.name != ".lock") == ["raw"]


def test_a_torn_archive_is_named(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder)
    content = (folder / "val2014.zip").read_bytes()
    (folder / "val2014.zip").write_bytes(content[:-100])
    with pytest.raises(DatasetError, match=r"val2014\.zip is not the expected file: size"):
        run(tiny[1], tmp_path / "data", folder)
    lax = replace(tiny[1], val=replace(tiny[1].val, size=None, sha256=None))
    with pytest.raises(DatasetError, match=r"val2014\.zip cannot be unpacked, it may be truncated"):
        run(lax, tmp_path / "data", folder)


def test_lists_of_unknown_images_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    mine, _ = write_tiny_coco(tmp_path / "mine")
    mine.lists["val/fold0.pkl"][0].append("val2014/COCO_val2014_000000000001.jpg")
    with pytest.raises(DatasetError, match="lists name images without annotations"):
        run(mine.write(), tmp_path / "data", mine.folder, only="test")


def test_the_real_release_is_complete() -> None:
    every = Coco(CocoOptions(), COCO2014).sources()
    assert len(every) == 3 + 8
    assert all(source.sha256 and source.urls for source in every)
    for only, names in (
        ("test", ["annotations_trainval2014.zip", "val2014.zip"]),
        ("eval", ["annotations_trainval2014.zip"]),
    ):
        sources = Coco(CocoOptions.model_validate({"only": only}), COCO2014).sources()
        assert [s.name for s in sources if s.name.endswith(".zip")] == names
        assert [s.name for s in sources if s.name.endswith(".pkl")] == [
            f"coco/val/fold{fold}.pkl" for fold in range(4)
        ]


def test_labels_alone_share_a_digest_with_the_whole(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder, ignore=shutil.ignore_patterns("*2014.zip"))
    shutil.copy(next(tiny[0].folder.glob("annotations*.zip")), folder)
    builder = Coco(CocoOptions(images=False), tiny[1])
    labels = prepare(builder, PrepareOptions(tmp_path / "data", folder, shots=(1, 2)))
    assert labels.labels_digest == prepared.labels_digest is not None
    assert labels.digest != prepared.digest
    assert labels.manifest["episodes"] == prepared.manifest["episodes"]
    image = labels.image_ids[0]
    assert np.array_equal(labels.labels(image), prepared.labels(image))
    with pytest.raises(DatasetError, match="prepared with --no-images"):
        labels.image(image)
    with pytest.raises(DatasetError, match="there is nothing to export; prepare it with"):
        export(labels, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()


def test_a_part_of_coco_needs_enough_photographs_of_a_class(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no class has 6 photographs") as raised:
        prepare(Coco(CocoOptions(partial=True), tiny[1]), PrepareOptions(tmp_path, tiny[0].folder))
    assert "person" in str(raised.value)
    assert not (tmp_path / "coco-partial/manifest.json").exists()


def test_a_part_neither_fetches_nor_derives() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        CocoOptions(partial=True, only="eval")
    with pytest.raises(ValueError, match="--partial needs --lists published"):
        CocoOptions(partial=True, lists="derived")
