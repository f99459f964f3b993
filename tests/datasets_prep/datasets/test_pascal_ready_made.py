"""Preparing PASCAL-5i from a ready-made SegmentationClassAug, from some photographs, and none."""

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_prep.datasets.pascal import Pascal, PascalOptions
from datasets_prep.datasets.pascal.ready_made import MapSet, look, read_known
from datasets_prep.datasets.pascal.release import KNOWN
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.partial import LEAST
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.datasets.test_pascal import content, run, unpacked
from tests.datasets_prep.pascal_fixture import (
    BOTH_TRAIN,
    SBD_FOLDER,
    SPARSE,
    VOC_FOLDER,
    Labels,
    TinyPascal,
    palette_png,
    write_tiny_pascal,
)

AUG = "SegmentationClassAug"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TinyPascal:
    return write_tiny_pascal(tmp_path_factory.mktemp("archives"))


@pytest.fixture
def mine(plain: TinyPascal, tmp_path: Path) -> Path:
    """VOC and the lists as folders, with ready-made maps in the place of SBD."""
    folder = unpacked(plain, tmp_path / "mine")
    shutil.rmtree(folder / SBD_FOLDER)
    write_maps(folder / AUG, plain.labels)
    return folder


@pytest.fixture
def tiny(plain: TinyPascal, mine: Path, tmp_path: Path) -> TinyPascal:
    """With the maps in `mine` as the known set."""
    maps = [each for path in (mine / AUG).iterdir() if not isinstance(each := look(path), str)]
    known = {"digest": MapSet(tuple(maps)).digest, "maps": {m.image_id: m.sha256 for m in maps}}
    path = tmp_path / "known.json"
    path.write_text(json.dumps(known))
    return replace(plain, release=replace(plain.release, known=path))


def write_maps(folder: Path, labels: Mapping[str, Labels], *, grey: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image, mask in labels.items():
        buffer = io.BytesIO()
        Image.fromarray(mask).save(buffer, format="PNG")
        (folder / f"{image}.png").write_bytes(buffer.getvalue() if grey else palette_png(mask))


def prepared(tiny: TinyPascal, data: Path, folder: Path, **options: Any) -> PreparedDataset:
    builder = Pascal(PascalOptions(**options), tiny.release)
    return prepare(builder, PrepareOptions(data, folder))


def notes(dataset: PreparedDataset) -> str:
    return "\n".join(dataset.manifest["notes"])


@pytest.mark.parametrize("kind", ["palette", "grey", "zip"])
def test_ready_made_maps_give_what_sbd_gives(
    tiny: TinyPascal, mine: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "grey":
        write_maps(mine / AUG, tiny.labels, grey=True)
    if kind == "zip":
        with zipfile.ZipFile(mine / f"{AUG}.zip", "w") as archive:
            for path in sorted((mine / AUG).iterdir()):
                archive.write(path, f"{AUG}/{path.name}")
        shutil.rmtree(mine / AUG)
    ours = prepared(tiny, tmp_path / "ours", mine)
    assert content(ours) == content(run(tiny, tmp_path / "theirs"))
    colour = "grey" if kind == "grey" else "palette"
    assert f"{len(tiny.labels)} {colour} PNGs, all as in the known set" in notes(ours)
    # SPARSE alone has no void of its own.
    assert f"1 of the {len(tiny.voc)} maps that are VOC's have no 255" in notes(ours)


def test_another_set_is_taken_with_counts(tiny: TinyPascal, mine: Path, tmp_path: Path) -> None:
    other = {image: tiny.labels[image].copy() for image in ("2010_000000", BOTH_TRAIN)}
    for mask in other.values():
        mask[0, 0] = 0
    write_maps(mine / AUG, {**other, "2011_000000": tiny.sbd["2010_000000"]})
    (mine / AUG / "2010_000005.png").unlink()
    photographs = mine / VOC_FOLDER / "JPEGImages"
    shutil.copy(photographs / "2010_000000.jpg", photographs / "2011_000000.jpg")
    dataset = prepared(tiny, tmp_path, mine, lists="oslsm")
    known = len(tiny.labels)
    assert f"2 differ from it, 1 of its {known} are missing, 1 are not in it" in notes(dataset)
    assert f"1 of {len(tiny.voc)} differ from VOC's own" in notes(dataset)
    np.testing.assert_array_equal(dataset.labels(BOTH_TRAIN), tiny.voc[BOTH_TRAIN])
    np.testing.assert_array_equal(dataset.labels("2010_000000"), other["2010_000000"])


def test_copies_without_void_are_told(tiny: TinyPascal, mine: Path, tmp_path: Path) -> None:
    blank = {i: np.where(m == 255, 0, m).astype(np.uint8) for i, m in tiny.labels.items()}
    write_maps(mine / AUG, blank)
    dataset = prepared(tiny, tmp_path / "with", mine)
    said = f"{len(tiny.voc)} of the {len(tiny.voc)} maps that are VOC's have no 255"
    assert f"{said}: void is 0 in them" in notes(dataset)
    assert "VOC's own are used" in notes(dataset)
    image = tiny.val[0]
    np.testing.assert_array_equal(dataset.labels(image), tiny.voc[image])
    shutil.rmtree(mine / VOC_FOLDER / "SegmentationClass")
    alone = prepared(tiny, tmp_path / "without", mine)
    assert "their void counts as background" in notes(alone)
    np.testing.assert_array_equal(alone.labels(image), blank[image])


def test_eval_needs_the_images_of_val_alone(tiny: TinyPascal, mine: Path, tmp_path: Path) -> None:
    for image in set(tiny.labels) - set(tiny.val):
        (mine / VOC_FOLDER / f"JPEGImages/{image}.jpg").unlink()
    shutil.rmtree(mine / AUG)
    shutil.rmtree(mine / "pascal/trn")
    whole = run(tiny, tmp_path / "whole")
    dataset = prepared(tiny, tmp_path / "data", mine, only="eval")
    assert dataset.name == "pascal"
    assert dataset.image_ids == tiny.val
    assert dataset.manifest["episodes"] == whole.manifest["episodes"]
    assert [fold.test for fold in dataset.folds.folds] == [f.test for f in whole.folds.folds]
    assert not any(fold.train for fold in dataset.folds.folds)


def test_labels_alone_share_a_digest_with_the_whole(
    tiny: TinyPascal, mine: Path, tmp_path: Path
) -> None:
    whole = prepared(tiny, tmp_path / "whole", mine)
    shutil.rmtree(mine / VOC_FOLDER / "JPEGImages")
    labels = prepared(tiny, tmp_path / "labels", mine, images=False)
    assert labels.labels_digest == whole.labels_digest is not None
    assert labels.digest not in (whole.digest, labels.labels_digest)
    assert labels.manifest["episodes"] == whole.manifest["episodes"]
    assert not labels.has_images
    assert verify(labels, full=True) == []
    np.testing.assert_array_equal(labels.mask(SPARSE, 1), whole.mask(SPARSE, 1))
    with pytest.raises(DatasetError, match="prepared with --no-images"):
        labels.image(SPARSE)


def test_a_part_has_its_own_name_and_leaves_out_classes_by_name(
    tiny: TinyPascal, mine: Path, tmp_path: Path
) -> None:
    kept = tiny.val[:2]
    for image in set(tiny.labels) - set(kept):
        (mine / VOC_FOLDER / f"JPEGImages/{image}.jpg").unlink()
    with pytest.raises(DatasetError, match=f"no class has {LEAST} photographs"):
        prepared(tiny, tmp_path, mine, partial=True)
    release = replace(tiny.release, fold_lists=_many(tiny, mine))
    dataset = prepared(replace(tiny, release=release), tmp_path / "again", mine, partial=True)
    assert dataset.name == "pascal-partial"
    assert dataset.folds.lists == "partial"
    assert dataset.folds.tested == (1,)
    assert dataset.folds.fold(1).novel == (5,)
    assert "fold 0: 0 of" in notes(dataset)
    assert "the fold is left out" in notes(dataset)
    assert f"tested: bus {LEAST} of {LEAST + 1}" in notes(dataset)
    assert "not tested, having fewer than 6 photographs: car 1 of 1" in notes(dataset)
    assert set(dataset.image_ids) == {f"2012_00000{n}" for n in range(LEAST)} | set(kept)
    assert {name.split("/")[1] for name in dataset.manifest["episodes"]} <= {
        f"fold1_{shots}shot" for shots in (1, 5)
    }
    with pytest.raises(DatasetError, match="no class to test in fold 0"):
        dataset.episodes("fixed-v1", 0, 1)


def _many(tiny: TinyPascal, mine: Path) -> dict[str, Any]:
    """Lists of a bus in seven images, one of them without its photograph, and of a car."""
    names = [f"2012_00000{n}" for n in range(LEAST + 1)]
    val = mine / VOC_FOLDER / "ImageSets/Segmentation/val.txt"
    val.write_text(val.read_text() + "".join(f"{name}\n" for name in names))
    template = mine / VOC_FOLDER / f"JPEGImages/{tiny.val[0]}.jpg"
    for name in names:
        write_maps(mine / AUG, {name: tiny.voc[tiny.val[1]]})
        if name != names[-1]:
            shutil.copy(template, mine / VOC_FOLDER / f"JPEGImages/{name}.jpg")
    listed = {
        name: replace(f, sha256=None, size=None) for name, f in tiny.release.fold_lists.items()
    }
    for name in listed:
        (mine / "pascal" / name).write_text("")
    lines = [*(f"{name}__06\n" for name in names), f"{names[0]}__07\n"]
    (mine / "pascal/val/fold1.txt").write_text("".join(lines))
    (mine / "pascal/val/fold0.txt").write_text(f"{names[-1]}__01\n")
    return listed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partial": True, "images": False}, "leave --partial out"),
        ({"partial": True, "lists": "pfenet"}, "--partial needs --lists published"),
    ],
)
def test_choices_that_contradict_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PascalOptions(**options)


def test_the_known_set_is_that_of_the_real_maps(shared_dir: Path) -> None:
    folder = shared_dir / "data/voc2012" / AUG
    if not folder.is_dir():
        pytest.skip("the real label maps are not there")
    known = read_known(KNOWN)
    paths = sorted(folder.glob("*.png"))
    assert [path.stem for path in paths] == sorted(known.maps)
    for path in paths[::400]:
        found = look(path)
        assert not isinstance(found, str)
        assert found.sha256.startswith(known.maps[path.stem])
