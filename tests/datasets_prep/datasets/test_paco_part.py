import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.random import RandomState
from PIL import Image
from pycocotools import mask as coco

from benchmarks.cli import main
from datasets_prep.archives.extract import extract
from datasets_prep.datasets.parts.paco import PacoPart, PacoPartOptions, Release
from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.paco_fixture import (
    NARROW,
    PACO_CLASSES,
    PACO_IMAGES,
    TinyPaco,
    number_of,
    write_tiny_paco,
)
from tests.datasets_prep.server import Reply, running

Tiny = tuple[TinyPaco, Release]


def run(
    release: Release, data: Path, folder: Path, skip_bad: bool = False, **options: Any
) -> PreparedDataset:
    shots = options.pop("shots", ())
    builder = PacoPart(PacoPartOptions(**{"images": "archive", **options}), release)
    return prepare(builder, PrepareOptions(data, folder, shots=shots, skip_bad=skip_bad))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny_paco(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def prepared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny[1], tmp_path_factory.mktemp("data"), tiny[0].folder, shots=(1, 5))


@pytest.fixture(scope="module")
def published(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    data = tmp_path_factory.mktemp("data")
    return run(tiny[1], data, tiny[0].folder, lists="published", shots=(1, 5))


def changed(tmp_path: Path, change: Callable[[TinyPaco], object]) -> Tiny:
    tiny, _ = write_tiny_paco(tmp_path / "mine")
    change(tiny)
    return tiny, tiny.write()


def parts(tiny: TinyPaco) -> list[dict[str, Any]]:
    return [a for a in tiny.val["annotations"] if a["id"] != a["obj_ann_id"]]


def test_classes_are_those_of_training_and_folds_take_every_fourth(
    prepared: PreparedDataset,
) -> None:
    assert prepared.classes == PACO_CLASSES
    folds = prepared.folds
    # The ninth class is left over; the second is in one image alone, the fifth in three.
    assert [folds.fold(f, 1).novel for f in range(4)] == [(0, 4), (5,), (2, 6), (3, 7)]
    assert [folds.fold(f, 5).novel for f in range(4)] == [(0,), (5,), (2, 6), (3, 7)]
    assert (folds.query_order, folds.lists) == ("draw", "derived")
    assert verify(prepared, full=True) == []


def test_every_crop_is_cut_as_in_matcher(tiny: Tiny, prepared: PreparedDataset) -> None:
    objects = {a["id"]: a for a in tiny[0].val["annotations"] if a["id"] == a["obj_ann_id"]}
    seen = set()
    for number, found in objects.items():
        crop = f"{found['image_id']:012d}/{number}"
        x, y, width, height = found["bbox"]
        here = np.s_[int(y) : int(y + height), int(x) : int(x + width)]
        jpeg = tiny[0].jpegs[f"{found['image_id']:012d}.jpg"]
        pixels = np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"))[here]
        if 0 in pixels.shape:
            continue
        seen.add(crop)
        np.testing.assert_array_equal(np.asarray(prepared.image(crop)), pixels)
        for index, name in enumerate(PACO_CLASSES):
            own = [
                coco.decode(a["segmentation"])
                for a in parts(tiny[0])
                if (a["obj_ann_id"], a["category_id"]) == (number, number_of(name))
            ]
            mask = own[0][here] if own else np.zeros(pixels.shape[:2])
            np.testing.assert_array_equal(prepared.mask(crop, index), mask)
    assert set(prepared.image_ids) == seen
    assert len(seen) == 3 * len(PACO_IMAGES) - 1


def test_an_object_without_a_crop_stays_in_the_draw(prepared: PreparedDataset) -> None:
    crops = prepared.folds.fold(0, 1).crops
    assert crops is not None
    assert set(crops[0][0]) == {None, f"{NARROW:012d}/{1000 * NARROW + 200}"}
    assert all(len(image) == 2 and all(image) for image in crops[0][1:])


def loader_words(pickles: dict[str, Any], fold: int, shots: int, count: int) -> list[Episode]:
    """Matcher's loader on its own files, with INSID3's way round crops of no size."""
    trained, tested = list(pickles["train"]["cid2img"]), pickles["val"]
    images: dict[int, list[dict[int, str]]] = {}
    for category, found in tested["cid2img"].items():
        images[category] = []
        for image in found:
            if image not in images[category]:
                images[category].append(image)
    ids = [trained[fold + 4 * v] for v in range(len(trained) // 4)]
    ids = [i for i in ids if i in images and len(images[i]) > shots]
    random = RandomState(0)

    def sample(category: int, other: int | None) -> tuple[int, str | None]:
        while True:
            (number,) = random.choice(images[category], 1, replace=False)[0]
            if number != other:
                break
        boxes: dict[int, Any] = {}
        for each in tested["img2anno"][number]:
            if each["category_id"] == category:
                boxes.setdefault(each["obj_ann_id"], each["obj_bbox"])
        chosen = random.choice(list(boxes), 1, replace=False)[0]
        x, y, width, height = boxes[chosen]
        empty = int(x) == int(x + width) or int(y) == int(y + height)
        return number, None if empty else f"{number:012d}/{chosen}"

    episodes: list[Episode] = []
    while len(episodes) < count:
        category = int(random.choice(ids, 1, replace=False)[0])
        query, crop = sample(category, None)
        drawn = [crop] + [sample(category, query)[1] for _ in range(shots)]
        if None not in drawn:
            index = trained.index(category)
            episodes.append(Episode(len(episodes), index, str(drawn[0]), tuple(drawn[1:])))  # type: ignore[arg-type]
    return episodes


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("fold", [0, 2])
def test_the_published_lists_are_those_of_matchers_loader(
    tiny: Tiny, published: PreparedDataset, fold: int, shots: int
) -> None:
    ours = published.episodes("hsnet", fold, shots)
    assert len(ours) == tiny[1].episodes
    assert ours == loader_words(tiny[0].pickles, fold, shots, len(ours))


def test_matchers_files_hold_the_same_crops(
    prepared: PreparedDataset, published: PreparedDataset
) -> None:
    assert set(published.image_ids) == set(prepared.image_ids)
    assert sorted(published.classes) == [f"category {number_of(name)}" for name in PACO_CLASSES]
    crop = f"{PACO_IMAGES[3]:012d}/{1000 * PACO_IMAGES[3]}"
    for index, name in enumerate(PACO_CLASSES):
        theirs = published.classes.index(f"category {number_of(name)}")
        np.testing.assert_array_equal(published.mask(crop, theirs), prepared.mask(crop, index))


def test_episodes_never_pair_crops_of_one_image(prepared: PreparedDataset) -> None:
    for recipe in ("hsnet", "fixed-v1"):
        for episode in prepared.episodes(recipe, 2, 5):
            query, *supports = [crop.split("/")[0] for crop in (episode.query, *episode.supports)]
            assert query not in supports


def test_fixed_classes_are_the_same_whatever_the_shots(tiny: Tiny, tmp_path: Path) -> None:
    dataset = run(tiny[1], tmp_path, tiny[0].folder, classes="fixed")
    assert [fold.novel for fold in dataset.folds.folds] == [(0,), (5,), (2, 6), (3, 7)]
    assert dataset.folds.of_shots == {}


def test_small_parts_are_left_out_on_request(tiny: Tiny, tmp_path: Path) -> None:
    least = 13 * 22  # the third part of an object is 22 wide, the first two are narrower
    dataset = run(tiny[1], tmp_path, tiny[0].folder, least_area=least)
    assert dataset.classes == tuple(
        name
        for name in PACO_CLASSES
        if name.partition(":")[2] not in ("base", "body", "ear", "foot")
    )


def test_single_images_are_fetched_in_place_of_archives(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(tiny[0].folder / "paco_lvis_v1.zip", folder)
    with running() as server:
        for name, content in tiny[0].jpegs.items():
            address = server.serve(f"/train2017/{name}", Reply(content))
        release = replace(tiny[1], single=address.rpartition("/train2017")[0])
        dataset = run(release, tmp_path / "data", folder, images="single")
        assert len(server.requests) == len(PACO_IMAGES)
    assert dataset.image_sha256s == prepared.image_sha256s
    assert dataset.folds.folds == prepared.folds.folds


def test_a_folder_of_annotations_serves_as_well(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    for name in ("paco_lvis_v1", "train2017"):
        extract(tiny[0].folder / f"{name}.zip", tmp_path / "mine" / name)
    shutil.move(tmp_path / "mine/train2017/train2017", tmp_path / "mine/images/train2017")
    shutil.rmtree(tmp_path / "mine/train2017")
    (tmp_path / "mine/paco_lvis_v1").rename(tmp_path / "elsewhere")
    (tmp_path / "mine/paco_lvis_v1").mkdir()
    (tmp_path / "mine/paco_lvis_v1/annotations").symlink_to(tmp_path / "elsewhere")
    dataset = run(tiny[1], tmp_path / "data", tmp_path / "mine")
    assert dataset.image_sha256s == prepared.image_sha256s
    assert dataset.folds.folds == prepared.folds.folds


def test_counts_are_compared_with_matchers(tiny: Tiny, tmp_path: Path) -> None:
    counts = {
        "object parts in the training images": 9,
        "object parts tested with one shot": 303,
    }
    dataset = run(replace(tiny[1], counts=counts), tmp_path, tiny[0].folder)
    notes = [note for note in dataset.manifest["notes"] if "object parts" in note]
    assert notes == ["object parts tested with one shot: 8 (published 303, DIFFERS)"]


def test_annotations_that_do_not_fit_are_named_or_left_out(tmp_path: Path) -> None:
    def spoil(tiny: TinyPaco) -> None:
        for each in parts(tiny):
            match each["id"]:
                case 102001:
                    each["category_id"] = 999
                case 103001:
                    each["image_id"] = 55
                case 104001:
                    each["obj_ann_id"] = 103000
                case 105001:
                    each["segmentation"]["size"] = [3, 4]

    tiny, release = changed(tmp_path, spoil)
    with pytest.raises(DatasetError, match="annotations do not fit") as raised:
        run(release, tmp_path / "data", tiny.folder)
    message = str(raised.value)
    assert "annotation 102001 has the unknown category 999" in message
    assert "annotation 103001 is of image 55, which is not there" in message
    assert "annotation 104001 is of object 103000, which its image does not have" in message
    assert "paco_lvis_v1_val.json" in message
    assert not (tmp_path / "data/paco-part/manifest.json").exists()

    kept = run(release, tmp_path / "data", tiny.folder, skip_bad=True)
    wrong = [f"{number:012d}" for number in (102, 104, 105)]
    assert kept.manifest["skipped"] == [*wrong, "annotation 103001"]
    assert not {crop.split("/")[0] for crop in kept.image_ids} & {*wrong}
    assert {image.split("/")[0] for fold in kept.folds.folds for image, _ in fold.test} == {
        crop.split("/")[0] for crop in kept.image_ids
    }


def test_a_wrong_outline_names_its_image_and_object(tmp_path: Path) -> None:
    def spoil(tiny: TinyPaco) -> None:
        next(a for a in parts(tiny) if a["id"] == 105001)["segmentation"]["counts"] = "~"

    tiny, release = changed(tmp_path, spoil)
    with pytest.raises(
        DatasetError, match=r"000000000105\.jpg: its annotation of object 105000 has an RLE"
    ):
        run(release, tmp_path / "data", tiny.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.val["annotations"][0].pop("area"), "has no usable area"),
        (lambda t: t.val["images"][0].update(id="1"), "the entry of images at byte .* usable id"),
        (
            lambda t: t.val["images"][0].update(file_name="train2017/../x.jpg"),
            "is no image of COCO 2017",
        ),
        (
            lambda t: [a.update(bbox=[1, 2, 3]) for a in t.val["annotations"] if a["id"] == 102000],
            r"object 102000 has the box \[1, 2, 3\]",
        ),
        (lambda t: t.train.pop("categories"), "has no categories"),
        (lambda t: t.train["categories"].pop(1), "does not name its category"),
        (lambda t: t.jpegs.pop("000000000104.jpg"), r"000000000104\.jpg"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Any, message: str) -> None:
    tiny, release = changed(tmp_path, change)
    with pytest.raises(DatasetError, match=message):
        run(release, tmp_path / "data", tiny.folder)


def test_pickles_of_anything_but_plain_values_are_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return os.system, ("touch /tmp/never",)

    tiny, release = changed(tmp_path, lambda t: t.pickles.update(val=Bad()))
    with pytest.raises(DatasetError, match=r"paco_part_val\.pkl is not a plain pickle: .*system"):
        run(release, tmp_path / "data", tiny.folder, lists="published")


@pytest.mark.parametrize("part", ["train", "val"])
def test_pickles_of_another_form_are_named(tmp_path: Path, part: str) -> None:
    tiny, release = changed(tmp_path, lambda t: t.pickles[part].pop("cid2img"))
    with pytest.raises(DatasetError, match=rf"paco_part_{part}\.pkl is not as Matcher's loader"):
        run(release, tmp_path / "data", tiny.folder, lists="published")


def test_an_archive_without_the_annotations_is_named(tiny: Tiny, tmp_path: Path) -> None:
    release = replace(tiny[1], annotations=tiny[1].pickles)
    with pytest.raises(DatasetError, match=r"holds no paco_lvis_v1_train\.json"):
        run(release, tmp_path, tiny[0].folder)


def test_it_runs(prepared: PreparedDataset, tmp_path: Path) -> None:
    """From the archives to a result, under Matcher's protocol and the recommended one."""
    for protocol in ("hsnet@518", "fixed-v1"):
        arguments = [
            "run", "--data-root", str(prepared.root.parent), "--results-root", str(tmp_path),
            "--datasets", "paco-part", "--protocol", protocol, "--shots", "5", "--folds", "0",
            "--models", "centre-prior", "--limit", "3", "--device", "cpu",
        ]  # fmt: skip
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert len(list(tmp_path.rglob("run.json"))) == 2
