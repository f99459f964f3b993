"""What LVIS's annotation file says of every image, and where, without holding its outlines."""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from datasets_prep.datasets.coco import index as coco
from datasets_prep.errors import refuse
from datasets_prep.formats.jsonstream import Element, elements
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.runtime.progress import SILENT, Progress

_NAME = re.compile(r"(?:train2017|val2017)/[0-9]+\.jpg")


@dataclass(frozen=True, slots=True)
class Entry(coco.Entry):
    """One annotated image, called `train2017/000000391895.jpg`.

    Attributes:
        number: its id in the file.
        classes: that are annotated, ascending.
    """

    number: int = 0
    classes: tuple[int, ...] = ()

    @property
    def image_id(self) -> str:
        """The name without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


@dataclass(frozen=True)
class Index:
    """What an annotation file holds.

    Attributes:
        classes: names by class index, which is the category's id less one.
        entries: annotated images by id.
        images: number of images, annotated or not.
        annotations: their number.
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    images: int
    annotations: int


@dataclass(slots=True)
class _Annotations:
    """Those of one image: where they are, and of each category the first one's id."""

    places: "array[int]" = field(default_factory=lambda: array("q"))
    first: dict[int, object] = field(default_factory=dict)


def read_index(path: Path, progress: Progress = SILENT, faults: Faults | None = None) -> Index:
    """Read `lvis_v1_val.json`.

    Args:
        path: the file.
        progress: hears of the file's bytes.
        faults: judges entries that do not hold together; with an annotation its image goes.

    Raises:
        DatasetError: naming the file, and all that does not hold together: an entry that is
            incomplete, a repeated id or file name, an annotation of an image or a category that
            there is not, categories that are not numbered 1, 2, 3, ...
    """
    faults = Faults() if faults is None else faults
    images: dict[int, Entry] = {}
    annotations: dict[int, _Annotations] = {}
    categories: dict[int, str] = {}
    wrong: list[tuple[object, Element, str]] = []  # image's id, where, what
    count, label = 0, f"reading {path.name}"
    total = path.stat().st_size if path.exists() else None
    for element in elements(path, ("images", "annotations", "categories")):
        progress.update(label, element.stop, total)
        value = element.value if isinstance(element.value, dict) else {}
        try:
            if element.key == "images":
                _add_image(value, images)
            elif element.key == "annotations":
                count += 1
                _add_annotation(value, element, annotations)
            else:
                _add_category(value, categories)
        except (KeyError, TypeError, ValueError) as error:
            place = f"the entry of {element.key} at byte {element.start:,}"
            said = f"{place} has no {error}" if isinstance(error, KeyError) else f"{place}: {error}"
            whose = value.get("id" if element.key == "images" else "image_id")
            wrong.append((whose, element, said))
    if sorted(categories) != list(range(1, len(categories) + 1)):
        refuse(f"{path} does not hold together:", ["its categories are not numbered 1, 2, 3, ..."])
    found = [
        Fault(_called(whose, images) or f"{path.name}, {element.key} at byte {element.start}", said)
        for whose, element, said in wrong
    ]
    for number, of in annotations.items():
        called = _called(number, images)
        if called is None:
            reason = f"annotation {min(of.first.values(), key=str)} is of image {number}, "
            of_image = f"{path.name}, annotations of image {number}"
            found.append(Fault(of_image, f"{reason}which is not there"))
        else:
            found += [
                Fault(called, f"annotation {first} has the unknown category {category}")
                for category, first in of.first.items()
                if category not in categories
            ]
    annotated = [images[number] for number in sorted(images.keys() & annotations.keys())]
    among = [image.image_id for image in annotated]
    faults.settle(f"{path} does not hold together:", found, among)
    return Index(
        classes=tuple(categories[number] for number in sorted(categories)),
        entries=tuple(
            _with(image, annotations[image.number])
            for image in annotated
            if image.image_id not in faults.left_out
        ),
        images=len(images),
        annotations=count,
    )


def _called(whose: object, images: Mapping[int, Entry]) -> str | None:
    return images[whose].image_id if type(whose) is int and whose in images else None


def _add_image(value: Mapping[str, Any], images: dict[int, Entry]) -> None:
    number, address, size = value["id"], value["coco_url"], (value["width"], value["height"])
    if not all(type(side) is int and side > 0 for side in (number, *size)):
        raise ValueError("id, width or height is no such number")
    name = "/".join(str(address).split("/")[-2:])
    if not _NAME.fullmatch(name):
        raise ValueError(f"{address!r} is no image of train2017 or val2017")
    if int(PurePosixPath(name).stem) != number:  # so that no two ids share a file
        raise ValueError(f"the id {number} is not that of {name}")
    if number in images:
        raise ValueError(f"the id {number} of {name} is there twice")
    images[number] = Entry(name, *size, number=number)


def _add_annotation(
    value: Mapping[str, Any], element: Element, annotations: dict[int, _Annotations]
) -> None:
    number, image, category = value["id"], value["image_id"], value["category_id"]
    if type(image) is not int or type(category) is not int:
        raise ValueError(f"annotation {number} is of image {image!r} and category {category!r}")
    if "segmentation" not in value:
        raise ValueError(f"annotation {number} has no segmentation")
    found = annotations.setdefault(image, _Annotations())
    found.first.setdefault(category, number)
    found.places.extend((element.start, element.stop))


def _add_category(value: Mapping[str, Any], categories: dict[int, str]) -> None:
    number, name = value["id"], value["name"]
    if type(number) is not int or not isinstance(name, str) or number in categories:
        raise ValueError(f"the category {number!r} {name!r} is there twice, or no such thing")
    categories[number] = name


def _with(image: Entry, found: _Annotations) -> Entry:
    places = tuple(zip(found.places[0::2], found.places[1::2], strict=True))
    classes = tuple(sorted(category - 1 for category in found.first))
    return replace(image, places=places, classes=classes)
