import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.datasets.coco.index import read_index
from datasets_prep.errors import DatasetError
from datasets_prep.runtime.progress import Silent
from tests.datasets_prep.coco_fixture import IDS, TinyCoco, annotation, box, write_tiny_coco

Content = dict[str, Any]


class Heard(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep it."""
        self.notes.append(message)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCoco:
    return write_tiny_coco(tmp_path_factory.mktemp("archives"))[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instances_val2014.json"


def write(path: Path, content: Content) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False))
    return path


def test_images_come_by_name_with_their_annotations_in_order(tiny: TinyCoco, path: Path) -> None:
    content = tiny.instances["val2014"]
    entries = read_index(write(path, content))
    text = path.read_bytes()
    with_things = {a["image_id"] for a in content["annotations"] if not a["iscrowd"]}
    assert [entry.name for entry in entries] == sorted(
        image["file_name"] for image in content["images"] if image["id"] in with_things
    )
    for entry in entries:
        found = [json.loads(text[start:stop]) for start, stop in entry.places]
        assert found == tiny.annotations(entry.image_id)
        assert (entry.height, entry.width) == (256, 320)


def test_keys_may_come_in_any_order(tiny: TinyCoco, path: Path, tmp_path: Path) -> None:
    content = tiny.instances["val2014"]
    straight = read_index(write(path, content))
    back = read_index(write(tmp_path / "b.json", dict(reversed(content.items()))))
    assert [e.image_id for e in back] == [e.image_id for e in straight]
    assert [len(e.places) for e in back] == [len(e.places) for e in straight]


def drop(key: str, part: str) -> Callable[[Content], object]:
    return lambda content: content[part][0].pop(key)


def put(part: str, **changes: object) -> Callable[[Content], object]:
    return lambda content: content[part][0].update(changes)


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (drop("file_name", "images"), ["images at byte", "no 'file_name'"]),
        (drop("width", "images"), ["no 'width'"]),
        (put("images", height="256"), ["id, width or height is no such number"]),
        (put("images", height=0), ["id, width or height is no such number"]),
        (put("images", id=True), ["id, width or height is no such number"]),
        (put("images", file_name="../x.jpg"), ["'../x.jpg' is no file name"]),
        (put("images", file_name=["x"]), ["is no file name"]),
        (put("images", id=111), ["two images have the id 111, with file_name COCO_val2014_000000000112.jpg and COCO_val2014_000000000111.jpg"]),  # noqa: E501
        (
            lambda c: c["images"].append({**c["images"][0], "width": 9, "height": 7}),
            ["two images have the id 112, with width 320 and 9, height 256 and 7"],
        ),
        (
            lambda c: c["images"].append({**c["images"][0], "id": 5}),
            ["000112.jpg and COCO_val2014_000000000112.jpg have one name, with id 112 and 5"],
        ),
        (
            lambda c: c["annotations"].append(annotation(77, 7, IDS[0], [box(0, 0, 9, 9)])),
            ["annotation 77 is of image 7, which is not there"],
        ),
        (
            lambda c: c["annotations"].append(annotation(78, 99, 12, [box(0, 0, 9, 9)])),
            ["annotation 78 has the unknown category 12"],
        ),
        (put("annotations", category_id=["x"]), ["entry of annotations at byte"]),
        (put("annotations", image_id="112"), ["is of image '112', which is no id"]),
        (drop("segmentation", "annotations"), ["has no segmentation"]),
        (lambda c: c["annotations"].append(None), ["no 'id'"]),
        (put("categories", name="human"), ["categories are not those of COCO"]),
        (lambda c: c["categories"].pop(), ["categories are not those of COCO"]),
        (lambda c: c.pop("categories"), ["has no categories"]),
        (lambda c: c.update(annotations={}), ["expected '['"]),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_is_named(
    tiny: TinyCoco, path: Path, change: Callable[[Content], object], messages: list[str]
) -> None:
    content = copy.deepcopy(tiny.instances["val2014"])
    change(content)
    with pytest.raises(DatasetError) as caught:
        read_index(write(path, content))
    for message in [str(path), *messages]:
        assert message in str(caught.value)


def test_an_image_listed_twice_alike_is_taken_once(tiny: TinyCoco, path: Path) -> None:
    content = copy.deepcopy(tiny.instances["val2014"])
    straight = read_index(write(path, content))
    content["images"] += [{**content["images"][0], "license": 7}, content["images"][1]]
    heard = Heard()
    again = read_index(write(path, content), heard)
    assert [(e.image_id, len(e.places)) for e in again] == [
        (e.image_id, len(e.places)) for e in straight
    ]
    assert heard.notes == [f"{path}: 2 images are listed twice alike, and taken once"]


def test_everything_wrong_is_named_at_once(tiny: TinyCoco, path: Path) -> None:
    content = copy.deepcopy(tiny.instances["val2014"])
    for number in range(60):
        content["annotations"].append(annotation(500 + number, 1000 + number, IDS[0], []))
    content["annotations"].append(annotation(600, 99, 91, []))
    with pytest.raises(DatasetError) as caught:
        read_index(write(path, content))
    assert "annotation 600 has the unknown category 91" in str(caught.value)
    assert "annotation 500 is of image 1000" in str(caught.value)
    *_, more, mend = str(caught.value).splitlines()
    assert more == "and 11 more" and mend.endswith("12 images would remain")


def test_a_torn_file_is_named(tiny: TinyCoco, path: Path) -> None:
    write(path, tiny.instances["val2014"])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DatasetError, match=r"instances_val2014\.json is not a readable annotation"):
        read_index(path)
    with pytest.raises(DatasetError, match="No such file"):
        read_index(path.with_name("none.json"))
