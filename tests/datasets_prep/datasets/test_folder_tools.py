"""Folders as more tools, cameras and file systems leave them: taken, or refused with the mend."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from tests.datasets_prep import folders
from tests.datasets_prep.datasets.test_folder_outlines import content, labelme
from tests.datasets_prep.datasets.test_folder_outlines import write as write_coco
from tests.datasets_prep.folders import CLASSES, label_map, make, photo, write

quick, top = folders.quick, folders.top
# Changes the folder; returns options.
Change = Callable[[Path], dict[str, Any]]
LABELME = {"classes": None, "labelme": True}
UNLISTED = {"classes": None}


def images(suffix: str, mode: str = "RGB", **how: object) -> Change:
    """Save every image anew under this suffix, without loss where the format can."""

    def all_of(top: Path) -> dict[str, Any]:
        for path in sorted((top / "images").iterdir()):
            with Image.open(path) as image:
                pixels = image.convert(mode)
            path.unlink()
            second = {"append_images": [pixels]} if how.get("save_all") else {}
            pixels.save(path.with_suffix(suffix), **how, **second)
        return {}

    return all_of


def renamed(folder: str, change: Callable[[str], str]) -> Change:
    def all_of(top: Path) -> dict[str, Any]:
        for path in sorted((top / folder).iterdir()):
            path.rename(path.with_name(change(path.stem)))
        return {}

    return all_of


def labels(change: Callable[[Any], Any], suffix: str = ".png", **how: object) -> Change:
    def all_of(top: Path) -> dict[str, Any]:
        for path in sorted((top / "labels").iterdir()):
            path.unlink()
            image = Image.fromarray(change(label_map(int(path.stem[3:]))))
            image.save(path.with_suffix(suffix), **how)
        return {}

    return all_of


def texts(suffix: str) -> Change:
    def all_of(top: Path) -> dict[str, Any]:
        for path in sorted((top / "labels").iterdir()):
            path.unlink()
            path.with_suffix(suffix).write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
        return {}

    return all_of


def instead(text: bytes) -> Change:
    def written(top: Path) -> dict[str, Any]:
        (top / "images/s0_00.png").write_bytes(text)
        return {}

    return written


def legend(name: str, text: str) -> Change:
    def beside(top: Path) -> dict[str, Any]:
        (top / name).write_bytes(text.encode("utf-8-sig"))
        return UNLISTED

    return beside


def coco(name: Callable[[str], str] = str, change: Callable[[Any], object] = str) -> Change:
    def written(top: Path) -> dict[str, Any]:
        body = content(top, name)
        change(body)
        return write_coco(top, body)

    return written


def in_a_group(body: dict[str, Any]) -> None:
    """As Roboflow has it: a category that no annotation has, of which all others are."""
    for category in body["categories"]:
        category["supercategory"] = "animals"
    body["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})


def panoptic(body: dict[str, Any]) -> None:
    body["annotations"] = [{"image_id": 0, "file_name": "s0_00.png", "segments_info": []}]


def flat(body: dict[str, Any]) -> None:
    body["annotations"][0]["segmentation"] = [1, 1, 5, 1, 5, 4]


def of_a_list(body: dict[str, Any]) -> None:
    in_a_group(body)
    body["annotations"][0]["category_id"] = [1]


def in_labelme(change: Callable[[dict[str, Any]], object]) -> Change:
    def written(top: Path) -> dict[str, Any]:
        labelme(top)
        for path in sorted((top / "images").glob("*.json")):
            body = json.loads(path.read_text())
            change(body)
            path.write_text(json.dumps(body))
        return LABELME

    return written


def padded(body: dict[str, Any]) -> None:
    body["shapes"][0]["label"] += " "


def orphan(top: Path) -> dict[str, Any]:
    labelme(top)
    (top / "images/s0_00.png").unlink()
    (top / "images/meta.json").write_text("{}")
    return LABELME


def litter(top: Path) -> dict[str, Any]:
    for kind in ("images", "labels"):
        for name in ("._s0_00.png", "Thumbs.db", ".DS_Store", "s0_00.png:Zone.Identifier"):
            (top / kind / name).write_bytes(b"x")
        for name in ("@eaDir/s0_00.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/s0_00.png"):
            (top / kind / name).parent.mkdir(parents=True)
            (top / kind / name).write_bytes(b"x")
    return {}


def voc(top: Path) -> dict[str, Any]:
    (top / "images").rename(top / "JPEGImages")
    (top / "labels").rename(top / "SegmentationClass")
    return {}


def below(top: Path) -> dict[str, Any]:
    (top / "export").mkdir()
    for kind in ("images", "labels"):
        (top / kind).rename(top / "export" / kind)
    return {}


NAMED = "".join(f"{name}:{i},{i},{i}::\r\n" for i, name in enumerate(CLASSES, start=1))
LISTED = "".join(f"{i}, {name}\n" for i, name in enumerate(CLASSES, start=1))

# Whose pixels and labels are those of the plain folder; labels without its row to ignore.
TAKEN: dict[str, Change] = {
    "CVAT's labelmap.txt with \\r\\n and a mark": legend(
        "labelmap.txt", f"# label:color_rgb:parts:actions\r\nbackground:0,0,0::\r\n{NAMED}"
    ),
    "Roboflow's _classes.csv": lambda top: (
        labels(lambda array: array % 255)(top)
        | legend("_classes.csv", f"Pixel Value, Class\n0, background\n{LISTED}")(top)
    ),
    "Roboflow's group of all classes": coco(change=in_a_group),
    "COCO with paths of another machine": coco(lambda name: f"/home/ann/data/{name}"),
    "COCO with paths of Windows": coco(lambda name: f"C:\\Users\\ann\\{name}"),
    "COCO with paths one up": coco(lambda name: f"../../upload/1/{name}"),
    "COCO with paths from here": coco(lambda name: f"./{name}"),
    "LabelMe's labels with a space": in_labelme(padded),
    "names with spaces and dashes": lambda top: (
        renamed("images", lambda stem: f"Bild – größe (1).{stem}.png")(top)
        | renamed("labels", lambda stem: f"Bild – größe (1).{stem}.png")(top)
    ),
    "what file systems leave": litter,
    "WebP": images(".webp", lossless=True),
    "WebP called .png": images(".png", format="WEBP", lossless=True),
    "TIFF of whole numbers as floats": labels(lambda array: array.astype(np.float32), ".tif"),
    "palette with a transparent index": labels(
        lambda array: array, transparency=0, format="PNG"
    ),
}  # fmt: skip

# Whose images JPEG changes a little, or a palette.
CLOSE: dict[str, Change] = {
    "progressive JPEG, .JPG": images(".JPG", quality=100, subsampling=0, progressive=True),
    "MPO of two pictures": images(
        ".jpeg", quality=100, subsampling=0, format="MPO", save_all=True
    ),
    "JPEG in CMYK": images(".jpg", "CMYK", quality=100, subsampling=0),
}  # fmt: skip

REFUSED: dict[str, tuple[Change, str]] = {
    "VOC's folders": (voc, "no folder `images`, but JPEGImages, SegmentationClass: name what"),
    "the folder above": (below, r"no folder `images`; .*in/export has: give that"),
    "Label Studio's PNGs": (
        renamed("labels", lambda stem: f"task-{int(stem[3:])}-annotation-1-by-1-tag-cat-0.png"),
        "names of Label Studio's tasks, not of images: export COCO's JSON",
    ),
    "Supervisely's masks": (
        renamed("labels", lambda stem: f"{stem}.jpg.png"), "--mask-suffix .jpg"
    ),
    "Supervisely's JSON": (texts(".json"), r"outlines in JSON: --labelme, or COCO's with --coco"),
    "Supervisely's colours": (
        lambda top: labels(lambda array: array % 255)(top) | legend("colours.json", json.dumps(
            {name: [i] * 3 for i, name in enumerate(CLASSES, start=1)}
        ))(top) | {"colors": top / "colours.json"},
        r"what is no class: background or void\)(.|\n)*#000000",
    ),
    "YOLO's text": (texts(".txt"), "outlines of YOLO: export COCO's JSON, for --coco FILE"),
    "VOC's XML": (texts(".xml"), "outlines in XML: export COCO's JSON, for --coco FILE"),
    "a panoptic file": (coco(change=panoptic), r"default.json is a panoptic file: give one of"),
    "a category that is no number": (coco(change=of_a_list), "json does not hold together"),
    "a flat polygon": (coco(change=flat), "annotation 0 has no list of polygons"),
    "LabelMe without its image": (orphan, r"LabelMe file without an image \(1\)(.|\n)*11 images"),
    "LabelMe without sizes": (
        in_labelme(lambda body: body.update(imageHeight=None)), r"imageWidth is no such number"
    ),
    "Git LFS not pulled": (
        instead(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"),
        "s0_00.png is not a readable image: it stands for a file that Git LFS has: git lfs pull",
    ),
    "an empty file": (instead(b""), "s0_00.png is not a readable image: it is empty"),
    "a web page": (instead(b"<!DOCTYPE html>"), "it is no JPEG, PNG, BMP, TIFF, WEBP"),
    "GIF": (images(".gif"), r"not one of .jpg, .*\.webp \(12\)"),
    "a mask higher by a pixel": (
        labels(lambda array: np.pad(array, ((0, 1), (0, 0)))), "10×9, the image is 10×8"
    ),
    "fractions": (
        labels(lambda array: array.astype(np.float32) / 2, ".tif"), "one channel of class numbers"
    ),
}  # fmt: skip


def difference(dataset: PreparedDataset) -> int:
    """The greatest of all pixels; labels must be those of the folder."""
    most = 0
    for name in dataset.image_ids:
        number = int(name[-2:])
        plain = label_map(number)
        assert np.array_equal(dataset.labels(name) % 255, plain % 255)
        off = np.asarray(dataset.image(name)).astype(int) - photo(number)
        most = max(most, int(np.abs(off).max()))
    assert len(dataset.image_ids) == 12 and dataset.classes == CLASSES
    assert dataset.manifest["skipped"] == []
    return most


@pytest.mark.parametrize("case", TAKEN)
def test_it_is_taken_for_what_it_is(case: str, top: Path, tmp_path: Path) -> None:
    assert difference(make(top, tmp_path / "data", **TAKEN[case](top))) == 0


@pytest.mark.parametrize("case", CLOSE)
def test_it_is_taken_but_for_what_jpeg_loses(case: str, top: Path, tmp_path: Path) -> None:
    assert difference(make(top, tmp_path / "data", **CLOSE[case](top))) < 12


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_mend(case: str, top: Path, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    with pytest.raises(DatasetError, match=message):
        make(top, tmp_path / "data", **change(top))


def emptied(top: Path) -> dict[str, Any]:
    body = content(top)
    body["annotations"] = [a for a in body["annotations"] if a["image_id"] > 1]
    return write_coco(top, body)


def emptied_labelme(top: Path) -> dict[str, Any]:
    labelme(top)
    for name in ("s0_00", "s1_01"):
        path = top / f"images/{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"shapes": []}))
    return LABELME


def spelt(body: dict[str, Any]) -> None:
    shape = body["shapes"][0]
    shape["label"] = shape["label"].replace("cat", "Cat")


def empty_maps(top: Path) -> dict[str, Any]:
    write(top / "labels/s0_00.png", np.zeros_like(label_map(0)))
    return {}


REMARKED: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "COCO without annotations of some": (
        emptied, 10, ("2 images without annotations in instances_default.json are left out",)
    ),
    "LabelMe without shapes in some": (
        emptied_labelme, 10, ("2 images without annotations in LabelMe's files are left out",)
    ),
    "classes that are alike": (
        in_labelme(spelt),
        12,
        ("classes 'Cat' and 'cat' differ in case or spaces alone: are they one?",),
    ),
    "an empty label map": (empty_maps, 12, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", REMARKED)
def test_what_may_not_be_meant_is_said_once(case: str, top: Path, tmp_path: Path) -> None:
    change, count, notes = REMARKED[case]
    dataset = make(top, tmp_path / "data", **change(top))
    assert len(dataset.image_ids) == count
    assert tuple(dataset.manifest["notes"]) == notes
