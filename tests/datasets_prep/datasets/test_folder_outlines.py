"""Outlines in JSON, as CVAT, Label Studio, Roboflow and LabelMe save them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep import folders
from tests.datasets_prep.folders import CLASSES, HEIGHT, WIDTH, label_map, make, names, photo

quick, top = folders.quick, folders.top
Content = dict[str, Any]
ROWS = ((1, 4), (4, 7))  # of the two boxes in `label_map`, whose columns are 1..5


def box(rows: tuple[int, int]) -> list[float]:
    return [1, rows[0], 5, rows[0], 5, rows[1], 1, rows[1]]


def rle(rows: tuple[int, int]) -> Content:
    """Uncompressed: runs along the columns, outside first."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows[0] : rows[1], 1:5] = 1
    flat = mask.T.ravel()
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends]).tolist()}


def content(top: Path, name: Callable[[str], str] = lambda n: n) -> Content:
    """What `label_map` holds but its row to ignore; every second object is an RLE."""
    images, annotations = [], []
    for number, stem in enumerate(names(top)):
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": number, "file_name": name(f"{stem}.png"), **size})
        for which, rows in enumerate(ROWS):
            outline = rle(rows) if which else [box(rows)]
            one = {"category_id": (int(stem[3:]) + which) % 4 + 1, "image_id": number}
            one |= {"id": len(annotations), "segmentation": outline, "iscrowd": which}
            annotations.append(one)
    categories = [{"id": i + 1, "name": n, "supercategory": ""} for i, n in enumerate(CLASSES)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write(top: Path, body: Content, place: str = "instances_default.json") -> dict[str, Any]:
    shutil.rmtree(top / "labels", ignore_errors=True)
    (top / place).parent.mkdir(exist_ok=True)
    (top / place).write_text(json.dumps(body))
    return {"classes": None, "coco": top / place}


def check(dataset: PreparedDataset) -> None:
    assert dataset.classes == CLASSES and len(dataset.image_ids) == 12
    for name in dataset.image_ids:
        number = int(Path(name).name[3:])
        labels = label_map(number)
        labels[0] = 0
        assert np.array_equal(np.asarray(dataset.image(name)), photo(number))
        assert np.array_equal(dataset.labels(name), labels)
    assert verify(dataset, full=True) == []


def test_coco_beside_images(top: Path, tmp_path: Path) -> None:
    given = write(top, content(top), "annotations/instances_default.json")
    dataset = make(top, tmp_path / "data", **given)
    check(dataset)
    assert "coco" not in dataset.manifest["builder"]["options"]


def test_coco_among_the_images_as_roboflow_has_it(top: Path, tmp_path: Path) -> None:
    body = content(top)
    body["categories"].insert(0, {"id": 0, "name": "cat", "supercategory": "none"})
    given = write(top, body, "images/_annotations.coco.json")
    check(make(top / "images", tmp_path / "data", **given))


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_coco_with_folders_in_names_as_label_studio_has_it(
    slash: str, top: Path, tmp_path: Path
) -> None:
    given = write(top, content(top, lambda name: f"images{slash}{name}"), "result.json")
    dataset = make(top, tmp_path / "data", **given)
    assert dataset.image_ids[0] == "images/s0_00"
    check(dataset)


def test_objects_that_overlap_stay_whole(top: Path, tmp_path: Path) -> None:
    body = content(top)
    body["annotations"][0]["segmentation"] = [box((1, 7))]
    dataset = make(top, tmp_path / "data", **write(top, body))
    first, second = (dataset.mask("s0_00", index) == 1 for index in (0, 1))
    assert first.sum() == 24 and second.sum() == 12 and (first & second).sum() == 12


def test_images_without_annotations_are_left_out(top: Path, tmp_path: Path) -> None:
    body = content(top)
    body["annotations"] = [a for a in body["annotations"] if a["image_id"] != 0]
    dataset = make(top, tmp_path / "data", **write(top, body))
    assert "s0_00" not in dataset.image_ids and len(dataset.image_ids) == 11


def change(part: str, **changes: object) -> Callable[[Content], object]:
    return lambda body: body[part][0].update(changes)


WRONG: dict[str, tuple[Callable[[Content], object], str]] = {
    "a box alone": (change("annotations", segmentation=[]), r"annotation 0 has no outline \(a box"),
    "far outside": (change("annotations", segmentation=[[0, 0, 9, 9, 999, 0]]), "far outside"),
    "another size": (change("images", width=9), r"another size in .*\n +s0_00.png: 9×8, the image"),
    "an absent image": (change("images", file_name="x.png"), "no image, though instances_default"),
    "a way out": (change("images", file_name="../.."), r"'\.\.' is no file name"),
    "a category": (change("annotations", category_id=9), "unknown category 9"),
    "categories": (change("categories", id=2), "has the category 2 twice: cat, dog"),
    "no name": (change("categories", name=None), "has the category 1 None, which is none"),
    "one id": (change("images", id=1), "two images have the id 1, with file_name s0_00.png and"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_coco_is_named(case: str, top: Path, tmp_path: Path) -> None:
    body = content(top)
    wrong, said = WRONG[case]
    wrong(body)
    with pytest.raises(DatasetError, match=said):
        make(top, tmp_path / "data", **write(top, body))


def test_turned_images_fit_the_size_in_the_file(top: Path, tmp_path: Path) -> None:
    given = write(top, content(top))
    for name in names(top):
        kept = Image.Exif()
        kept[274] = 6
        stored = Image.fromarray(photo(int(name[3:]))).transpose(Image.Transpose.ROTATE_90)
        stored.save(top / f"images/{name}.png", exif=kept)
    check(make(top, tmp_path / "data", **given))


def labelme(top: Path, kind: str = "polygon") -> None:
    shutil.rmtree(top / "labels")
    for stem in names(top):
        shapes = []
        for which, rows in enumerate(ROWS):
            points = np.reshape(box(rows), (-1, 2)).tolist()
            points = points[::2] if which else points
            shape = {"label": CLASSES[(int(stem[3:]) + which) % 4], "points": points}
            shapes.append(shape | {"shape_type": "rectangle" if which else kind})
        body = {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH, "imageData": None}
        (top / f"images/{stem}.json").write_text(json.dumps(body))


@pytest.mark.parametrize("below", ["", "images"])
def test_labelme_beside_each_image(below: str, top: Path, tmp_path: Path) -> None:
    labelme(top)
    dataset = make(top / below, tmp_path / "data", classes=None, labelme=True)
    check(dataset)


def test_what_labelme_ignores_or_calls_background_is_no_class(top: Path, tmp_path: Path) -> None:
    labelme(top)
    for stem in names(top):
        path = top / f"images/{stem}.json"
        body = json.loads(path.read_text())
        for label, row in (("__ignore__", 0), ("_background_", 7)):
            shape = {"points": [[0, row], [10, row + 1]], "shape_type": "rectangle"}
            body["shapes"].append(shape | {"label": label})
        if stem == "s0_00":
            body["shapes"] = body["shapes"][2:]
        path.write_text(json.dumps(body))
    dataset = make(top, tmp_path / "data", classes=None, labelme=True)
    assert dataset.classes == CLASSES
    assert dataset.manifest["notes"] == [
        "1 images without annotations in LabelMe's files are left out"
    ]
    for name in dataset.image_ids:
        assert np.array_equal(dataset.labels(name), label_map(int(name[3:])))


def test_what_is_wrong_in_labelme_is_named(top: Path, tmp_path: Path) -> None:
    labelme(top, kind="circle")
    (top / "images/s1_01.json").unlink()
    (top / "images/s2_02.json").write_text("{}")
    path = top / "images/s0_03.json"
    path.write_text(path.read_text().replace('"owl"', '" "'))
    with pytest.raises(DatasetError) as raised:
        make(top, tmp_path / "data", classes=None, labelme=True)
    said = str(raised.value)
    assert "no LabelMe file (NAME.json) (1)" in said and "no list of shapes" in said
    assert "s0_03.json: it has a shape with an empty label" in said
    assert "the shape 'cat' is a circle: only polygons and rectangles (of s0_00.png)" in said


def test_options_of_label_files_do_not_go_with_outlines(top: Path, tmp_path: Path) -> None:
    given = write(top, content(top))
    with pytest.raises(DatasetError, match="--threshold is for label files"):
        make(top, tmp_path / "data", threshold=3, **given)
    with pytest.raises(DatasetError, match="or --coco FILE or --labelme if outlines are in JSON"):
        make(top, tmp_path / "data")
    with pytest.raises(ValidationError, match="--coco or --labelme, not both"):
        FolderOptions(folder=top, name="x", coco=top / "x.json", labelme=True)
