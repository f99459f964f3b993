"""What an annotation file says of every image, and where, without holding its outlines."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from datasets_prep.datasets.coco.classes import CATEGORIES
from datasets_prep.errors import refuse
from datasets_prep.formats.jsonstream import Element, elements
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.runtime.progress import SILENT, Progress


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of an annotation file.

    Attributes:
        name: of its file, `COCO_val2014_000000507081.jpg`.
        width: in pixels.
        height: in pixels.
        places: start and stop of each of its annotations in the file, in bytes, in order.
    """

    name: str
    width: int
    height: int
    places: tuple[tuple[int, int], ...] = ()

    @property
    def image_id(self) -> str:
        """The name without its suffix, by which the lists call it."""
        return PurePosixPath(self.name).stem


@dataclass(slots=True)
class _Annotations:
    """Those of one image: the first one's id, how many are no crowds, and where all of them are."""

    first: object
    things: int = 0
    places: "array[int]" = field(default_factory=lambda: array("q"))


def read_index(
    path: Path, progress: Progress = SILENT, faults: Faults | None = None
) -> list[Entry]:
    """Every image with at least one annotation that is no crowd, by file name.

    Args:
        path: `instances_val2014.json` or the like.
        progress: hears of the file's bytes.
        faults: judges entries that do not hold together; with an annotation its image goes.

    Raises:
        DatasetError: naming the file, and all that does not hold together: an entry that is
            incomplete, a repeated id or file name, an annotation of an image or a category that
            there is not, categories that are not COCO's.
    """
    faults = Faults() if faults is None else faults
    images: dict[int, Entry] = {}
    names: set[str] = set()
    annotations: dict[int, _Annotations] = {}
    categories: dict[object, object] = {}
    wrong: list[tuple[Element, str]] = []
    label, total = f"reading {path.name}", path.stat().st_size if path.exists() else None
    for element in elements(path, ("images", "annotations", "categories")):
        progress.update(label, element.stop, total)
        value = element.value if isinstance(element.value, dict) else {}
        try:
            if element.key == "images":
                _add_image(value, images, names)
            elif element.key == "annotations":
                _add_annotation(value, element, annotations)
            else:
                categories[value["id"]] = value["name"]
        except (KeyError, TypeError, ValueError) as error:
            place = f"the entry of {element.key} at byte {element.start:,}"
            said = f"{place} has no {error}" if isinstance(error, KeyError) else f"{place}: {error}"
            wrong.append((element, said))
    if categories != CATEGORIES:
        refuse(f"{path} does not hold together:", ["its categories are not those of COCO"])
    found = [
        Fault(name, said)
        for element, said in wrong
        for name in _whose(element, images) or [f"{path.name}, {element.key} at {element.start}"]
    ]
    found += [
        Fault(
            f"{path.name}, annotations of image {number}",
            f"annotation {of.first} is of image {number}, which is not there",
        )
        for number, of in annotations.items()
        if number not in images
    ]
    faults.settle(f"{path} does not hold together:", found)
    entries = [
        Entry(image.name, image.width, image.height, _pairs(annotations[number]))
        for number, image in images.items()
        if number in annotations
        and annotations[number].things
        and image.image_id not in faults.left_out
    ]
    return sorted(entries, key=lambda entry: entry.name)


def _whose(element: Element, images: Mapping[int, Entry]) -> list[str]:
    """The images, by id, that a wrong entry casts doubt on: all that share its name or number."""
    value = element.value if isinstance(element.value, dict) else {}
    name, number = value.get("file_name"), value.get("image_id")
    if element.key == "images":
        number = value.get("id")
    names = [PurePosixPath(name).stem] if isinstance(name, str) else []
    if type(number) is int and number in images:
        names.append(images[number].image_id)
    return [name for name in dict.fromkeys(names) if name]


def _add_image(value: Mapping[str, Any], images: dict[int, Entry], names: set[str]) -> None:
    number, name, size = value["id"], value["file_name"], (value["width"], value["height"])
    if type(number) is not int or not all(type(side) is int and side > 0 for side in size):
        raise ValueError("id, width or height is no such number")
    if not isinstance(name, str) or name != PurePosixPath(name).name or "\0" in name:
        raise ValueError(f"{name!r} is no file name")
    entry = Entry(name, *size)
    if number in images:
        raise ValueError(f"the id {number} of {name} is that of {images[number].name}")
    if entry.image_id in names:
        raise ValueError(f"the file name {name} is there twice")
    images[number] = entry
    names.add(entry.image_id)


def _add_annotation(
    value: Mapping[str, Any], element: Element, annotations: dict[int, _Annotations]
) -> None:
    number, image, category = value["id"], value["image_id"], value["category_id"]
    if type(image) is not int:
        raise ValueError(f"annotation {number} is of image {image!r}, which is no id")
    if category not in CATEGORIES:
        raise ValueError(f"annotation {number} has the unknown category {category!r}")
    if "segmentation" not in value:
        raise ValueError(f"annotation {number} has no segmentation")
    found = annotations.setdefault(image, _Annotations(number))
    found.things += not value.get("iscrowd")
    found.places.extend((element.start, element.stop))


def _pairs(found: _Annotations) -> tuple[tuple[int, int], ...]:
    return tuple(zip(found.places[0::2], found.places[1::2], strict=True))
