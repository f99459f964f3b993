import json
import shutil
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.random import RandomState
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cli import main
from datasets_prep.archives.extract import extract
from datasets_prep.datasets.parts.merged import merged
from datasets_prep.datasets.parts.pascal import PascalPart, PascalPartOptions
from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.pascal_part_fixture import (
    MERGED,
    PARTLESS,
    PARTS,
    POINT,
    SUPERCLASSES,
    VAL,
    VOC,
    TinyPascalPart,
    write_tiny_pascal_part,
)


def run(
    tiny: TinyPascalPart, data: Path, folder: Path | None = None, lists: Any = "derived", **how: Any
) -> PreparedDataset:
    how = {"shots": (), **how}
    builder = PascalPart(PascalPartOptions(lists=lists), tiny.release)
    return prepare(builder, PrepareOptions(data, folder or tiny.folder, **how))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyPascalPart:
    return write_tiny_pascal_part(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def prepared(tiny: TinyPascalPart, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny, tmp_path_factory.mktemp("data"), shots=(1,))


@pytest.fixture(scope="module")
def published(tiny: TinyPascalPart, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny, tmp_path_factory.mktemp("data"), lists="published", shots=(1, 5))


def unpacked(tiny: TinyPascalPart, folder: Path) -> Path:
    """The archives as a user may have unpacked them, in one tree as Matcher wants it."""
    for source in (tiny.release.voc, tiny.release.mat, tiny.release.json):
        extract(tiny.folder / source.name, folder / source.stem)
    for part in (MERGED, "all_obj_part_to_image.json"):
        shutil.move(folder / "pascal/pascal" / part, folder / part)
    shutil.move(folder / "trainval/Annotations_Part", folder / "Annotations_Part")
    shutil.move(folder / "tiny-voc2010/VOCdevkit", folder / "VOCdevkit")
    return folder


def names(prepared: PreparedDataset, fold: int) -> list[str]:
    return [prepared.classes[index] for index in prepared.folds.folds[fold].novel]


def test_the_folds_are_superclasses_of_56_merged_parts(prepared: PreparedDataset) -> None:
    assert [len(fold.novel) for fold in prepared.folds.folds] == [31, 4, 5, 16]
    for number, things in enumerate(SUPERCLASSES.values()):
        wanted = {f"{t}+{m}" for t in things for m in PARTS[t].values() if m}
        assert names(prepared, number) == sorted(wanted - {"aeroplane+TAIL"})
    assert len(prepared.folds.folds[1].base) == 52
    assert prepared.folds.query_order == "cycle"
    assert verify(prepared, full=True) == []


def test_every_crop_is_cut_as_in_matcher(tiny: TinyPascalPart, prepared: PreparedDataset) -> None:
    expected: dict[str, NDArray[Any]] = {}
    for image in VAL:
        pixels = np.asarray(Image.open(BytesIO(tiny.jpegs[image])).convert("RGB"))
        for number, thing in enumerate(tiny.scenes[image]):
            rows, columns = np.nonzero(thing.mask)
            here = np.s_[rows.min() : rows.max(), columns.min() : columns.max()]
            kept = [(part, mask) for part, mask in thing.parts if PARTS[thing.name][part]]
            if not kept or 0 in thing.mask[here].shape:
                continue
            crop = f"{image}/{number}"
            expected[crop] = pixels[here]
            np.testing.assert_array_equal(np.asarray(prepared.image(crop)), pixels[here])
            for index, name in enumerate(prepared.classes):
                mask = np.zeros_like(thing.mask)
                for part, each in kept:
                    if f"{thing.name}+{PARTS[thing.name][part]}" == name:
                        mask |= each
                np.testing.assert_array_equal(prepared.mask(crop, index), mask[here])
    assert set(prepared.image_ids) == set(expected)
    assert prepared.size(f"{VAL[0]}/0") == (29, 31)  # of a mask of 30×32


def test_objects_without_a_crop_stay_in_the_draw(prepared: PreparedDataset) -> None:
    fold = prepared.folds.folds[0]
    assert fold.crops is not None
    face = prepared.classes.index("bird+FACE")
    assert fold.crops[face][0] == (f"{VAL[0]}/0", None)  # the second has no face
    assert fold.crops[face][1] == (f"{VAL[1]}/0",)
    cat = fold.crops[prepared.classes.index("cat+FACE")]
    assert [len(image) for image in cat] == [1, 2, 1, 1, 1, 1, 1]
    assert cat[VAL.index(POINT)][1] is None  # a box of no size
    assert len(fold.crops[prepared.classes.index("sheep+LEG")]) == 6
    person = prepared.folds.folds[2].crops
    assert person is not None
    faces = person[prepared.classes.index("person+FACE")][VAL.index(PARTLESS)]
    assert len(faces) == 2 and faces[1] is None


def test_matchers_files_give_the_same_of_the_same_scenes(
    prepared: PreparedDataset, published: PreparedDataset
) -> None:
    assert published.image_ids == prepared.image_ids
    assert published.classes == prepared.classes
    assert replace(published.folds, lists="derived") == prepared.folds
    for crop in prepared.image_ids:
        for column in ("image_sha256", "labels_sha256"):
            assert published._cell(column, crop) == prepared._cell(column, crop)
    assert published.digest != prepared.digest  # for the options are not the same
    assert published.episodes("hsnet", 2, 1) == prepared.episodes("hsnet", 2, 1)


def matcher_words(folder: Path, superclass: str, shots: int, most: int) -> list[Episode]:
    """Matcher's loader on its own files; its class numbers start at 0 in every fold."""
    lists = json.loads((folder / "all_obj_part_to_image.json").read_text())[superclass]["object"]
    classes, count = [], 0
    for thing in lists:
        for part, images in lists[thing]["part"].items():
            count += len(images["val"])
            if images["train"] and images["val"] and f"{thing}+{part}" != "aeroplane+TAIL":
                classes.append((thing, part))
    random = RandomState(0)

    def sample(thing: str, part: str, taken: list[str]) -> tuple[str, int]:
        while True:
            image = random.choice(lists[thing]["part"][part]["val"], 1, replace=False)[0]
            if image in taken:
                continue
            objects = json.loads((folder / MERGED / f"{image}.json").read_text())["object"]
            alike = [{**o, "place": n} for n, o in enumerate(objects) if o["name"] == thing]
            chosen = random.choice(alike, 1, replace=False)[0]
            box = [int(chosen["bndbox"][side]) for side in chosen["bndbox"]]
            empty = box[0] == box[2] or box[1] == box[3]  # on which Matcher itself fails
            if any(p["name"] == part for p in chosen["parts"]) and not empty:
                return str(image), chosen["place"]

    episodes = []
    for number in range(min(count, most)):
        index = number % len(classes)
        drawn: list[tuple[str, int]] = []
        while len(drawn) <= shots:
            drawn.append(sample(*classes[index], [image for image, _ in drawn]))
        query, *supports = [f"{image}/{place}" for image, place in drawn]
        episodes.append(Episode(number, index, query, tuple(supports)))
    return episodes


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("fold", [0, 2])
def test_the_published_lists_are_those_of_matchers_loader(
    tiny: TinyPascalPart, published: PreparedDataset, tmp_path: Path, fold: int, shots: int
) -> None:
    folder = unpacked(tiny, tmp_path)
    first = published.folds.folds[fold].novel[0]
    ours = [
        replace(e, class_index=e.class_index - first)
        for e in published.episodes("hsnet", fold, shots)
    ]
    superclass = list(SUPERCLASSES)[fold]
    assert ours == matcher_words(folder, superclass, shots, tiny.release.episodes)
    assert len(ours) == min(60, sum(map(len, (published.folds.folds[fold].crops or {}).values())))


def test_episodes_never_pair_crops_of_one_image(prepared: PreparedDataset) -> None:
    for recipe in ("hsnet", "fixed-v1"):
        for episode in prepared.episodes(recipe, 0, 1):
            images = [crop.split("/")[0] for crop in (episode.query, *episode.supports)]
            assert len(set(images)) == 2


def test_extracted_folders_and_more_processes_change_nothing(
    tiny: TinyPascalPart, prepared: PreparedDataset, tmp_path: Path
) -> None:
    dataset = run(tiny, tmp_path / "data", unpacked(tiny, tmp_path / "mine"), jobs=2)
    assert dataset.digest == prepared.digest


def test_every_wrong_file_is_named_or_left_out(tiny: TinyPascalPart, tmp_path: Path) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    mat = folder / f"Annotations_Part/{VAL[0]}.mat"
    jpeg, small = (folder / VOC / f"JPEGImages/{image}.jpg" for image in VAL[3:5])
    for path in (mat, jpeg):
        path.write_bytes(path.read_bytes()[:-30])
    Image.new("RGB", (10, 20)).save(small)
    with pytest.raises(DatasetError) as raised:
        run(tiny, tmp_path / "data", folder)
    message = str(raised.value)
    assert f"{mat} is not a readable annotation with anno.objects" in message
    assert f"{jpeg} is not a readable image" in message
    assert f"{VAL[4]}.mat: object 0 has a mask of (120, 160), its image is (20, 10)" in message
    assert message.count("\n") == 4 and message.endswith("4 images would remain")
    assert not (tmp_path / "data/pascal-part/manifest.json").exists()

    kept = run(tiny, tmp_path / "data", folder, skip_bad=True)
    assert kept.manifest["skipped"] == [VAL[0], VAL[3], VAL[4]]
    assert {image.split("/")[0] for image in kept.image_ids} == {*VAL} - {VAL[0], VAL[3], VAL[4]}
    assert len(kept.folds.folds[1].test) == 16


def test_missing_files_are_named(tiny: TinyPascalPart, tmp_path: Path) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    gone = [
        folder / VOC / f"JPEGImages/{VAL[1]}.jpg",
        folder / f"Annotations_Part/{VAL[2]}.mat",
    ]
    for path in gone:
        path.unlink()
    with pytest.raises(DatasetError, match="these files are missing") as raised:
        run(tiny, tmp_path / "data", folder)
    assert all(f"{path} is missing" in str(raised.value) for path in gone)


def test_classes_that_no_training_image_shows_are_left_out(
    tiny: TinyPascalPart, tmp_path: Path
) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    (folder / VOC / "ImageSets/Main/train.txt").write_text("")
    with pytest.raises(DatasetError, match="no images to prepare"):
        run(tiny, tmp_path / "data", folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda body: body.pop("object"), "not as Matcher's loader reads it"),
        (lambda body: body["object"][0]["bndbox"].pop("ymax"), "not as Matcher's loader reads it"),
        (
            lambda body: body["object"][0]["parts"][0]["mask"][0].update(size=[3, 4]),
            r"object 0 has an RLE of size \[3, 4\]",
        ),
        (
            lambda body: [each.update(name="fox") for each in body["object"]],
            rf"images are listed for a class(.*\n)+{VAL[0]} for bird\+FACE",
        ),
    ],
)
def test_what_is_wrong_with_matchers_files_is_named(
    tiny: TinyPascalPart, tmp_path: Path, spoil: Any, message: str
) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    path = folder / MERGED / f"{VAL[0]}.json"
    body = json.loads(path.read_text())
    spoil(body)
    path.write_text(json.dumps(body))
    with pytest.raises(DatasetError, match=message) as raised:
        run(tiny, tmp_path / "data", folder, lists="published")
    assert VAL[0] in str(raised.value)


def test_a_list_file_of_another_form_is_named(tiny: TinyPascalPart, tmp_path: Path) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    (folder / "all_obj_part_to_image.json").write_text('{"animals": []}')
    with pytest.raises(DatasetError, match=r"all_obj_part_to_image\.json is not as Matcher's"):
        run(tiny, tmp_path / "data", folder, lists="published")


def test_an_archive_of_something_else_is_named(tiny: TinyPascalPart, tmp_path: Path) -> None:
    release = replace(tiny.release, mat=replace(tiny.release.json, folder="Annotations_Part"))
    with pytest.raises(DatasetError, match=r"pascal\.zip holds no folder Annotations_Part"):
        run(replace(tiny, release=release), tmp_path / "data")


def test_other_counts_than_matchers_are_said(tiny: TinyPascalPart, tmp_path: Path) -> None:
    counts = {"classes of fold 0": 31, "pairs of image and class in fold 1": 959}
    dataset = run(replace(tiny, release=replace(tiny.release, counts=counts)), tmp_path)
    assert dataset.manifest["notes"][0] == (
        "pairs of image and class in fold 1: 28 (published 959, DIFFERS)"
    )
    assert not any("classes of fold 0" in note for note in dataset.manifest["notes"])


@pytest.mark.parametrize(
    ("part", "label"),
    [
        ("wheel_12", "WHEEL"),
        ("lflleg", "LEG"),
        ("cfrontside_3", "TRAIN_COACH"),
        ("hroofside", "TRAIN_HEAD"),
        ("rear", "FACE"),
        ("backside", "VEHICLE_SIDE"),
        ("lfpa", None),
        ("muzzle", None),
        ("headlight_2", None),
        ("cap", None),
    ],
)
def test_parts_are_merged_by_name(part: str, label: str | None) -> None:
    assert merged(part) == label


def test_it_runs(published: PreparedDataset, tmp_path: Path) -> None:
    """From the archives to a result, under Matcher's protocol and the recommended one."""
    for protocol in ("hsnet@518", "fixed-v1"):
        arguments = [
            "run", "--data-root", str(published.root.parent), "--results-root", str(tmp_path),
            "--datasets", "pascal-part", "--protocol", protocol, "--shots", "1", "--folds", "1",
            "--models", "centre-prior", "--limit", "4", "--device", "cpu",
        ]  # fmt: skip
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert len(list(tmp_path.rglob("run.json"))) == 2


def test_importing_the_builders_is_light() -> None:
    modules = "datasets_prep.datasets.parts.pascal, datasets_prep.datasets.parts.paco"
    heavy = "{'numpy', 'PIL', 'datasets', 'pycocotools', 'scipy', 'torch'}"
    code = f"import sys, {modules}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
