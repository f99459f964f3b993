"""What an annotation file says of every image, and where, without holding its outlines."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from datasets_prep.datasets.coco.classes import CATEGORIES
from datasets_prep.errors import DatasetError, refuse
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
        return _image_id(self.name)


@dataclass(slots=True)
class _Annotations:
    """Those of one image: the first one's id, how many are no crowds, and where all of them are."""

    first: object
    things: int = 0
    places: "array[int]" = field(default_factory=lambda: array("q"))


def read_index(
    path: Path,
    progress: Progress = SILENT,
    faults: Faults | None = None,
    known: Mapping[int, str] | None = None,
) -> list[Entry]:
    """Every image with at least one annotation that is no crowd, by file name.

    Of files that are not COCO's, every image: crowds count too, and places tell which has none.

    An image that is listed twice alike is taken once, and said to be.

    Args:
        path: `instances_val2014.json` or the like.
        progress: hears of the file's bytes.
        faults: judges entries that do not hold together; with an annotation its image goes.
        known: the categories, for files that are not COCO's: names may then lie in folders, or,
            where they are those of another machine, are cut to their last part.

    Raises:
        DatasetError: naming the file, and all that does not hold together: an entry that is
            incomplete, a repeated id or file name, an annotation of an image or a category that
            there is not, categories that are not COCO's; or a panoptic file.
    """
    faults = Faults() if faults is None else faults
    own, wanted = known is not None, CATEGORIES if known is None else known
    images: dict[int, Entry] = {}
    names: dict[str, int] = {}
    again = 0
    annotations: dict[int, _Annotations] = {}
    categories: dict[object, object] = {}
    wrong: list[tuple[Element, str]] = []
    label, total = f"reading {path.name}", path.stat().st_size if path.exists() else None
    for element in elements(path, ("images", "annotations", "categories")):
        progress.update(label, element.stop, total)
        value = element.value if isinstance(element.value, dict) else {}
        if "segments_info" in value:
            raise DatasetError(f"{path} is a panoptic file: give one of instances, with outlines")
        try:
            if element.key == "images":
                again += not _add_image(value, images, names, own)
            elif element.key == "annotations":
                _add_annotation(value, element, annotations, wanted)
            else:
                categories[value["id"]] = value["name"]
        except (KeyError, TypeError, ValueError) as error:
            place = f"the entry of {element.key} at byte {element.start:,}"
            said = f"{place} has no {error}" if isinstance(error, KeyError) else f"{place}: {error}"
            wrong.append((element, said))
    if again:
        progress.note(f"{path}: {again:,} images are listed twice alike, and taken once")
    if categories != wanted:
        refuse(f"{path} does not hold together:", ["its categories are not those of COCO"])
    found = [
        Fault(name, said)
        for element, said in wrong
        for name in _whose(element, images, own)
        or [f"{path.name}, {element.key} at {element.start}"]
    ]
    found += [
        Fault(
            f"{path.name}, annotations of image {number}",
            f"annotation {of.first} is of image {number}, which is not there",
        )
        for number, of in annotations.items()
        if number not in images
    ]
    annotated = {number: found for number, found in annotations.items() if own or found.things}
    among = [image.image_id for number, image in images.items() if number in annotated]
    faults.settle(f"{path} does not hold together:", found, among)
    entries = (
        Entry(image.name, image.width, image.height, _pairs(annotated.get(number)))
        for number, image in images.items()
        if (own or number in annotated) and image.image_id not in faults.left_out
    )
    return sorted(entries, key=lambda entry: entry.name)


def _whose(element: Element, images: Mapping[int, Entry], nested: bool) -> list[str]:
    """The images, by id, that a wrong entry casts doubt on: all that share its name or number."""
    value = element.value if isinstance(element.value, dict) else {}
    name, number = value.get("file_name"), value.get("image_id")
    if element.key == "images":
        number = value.get("id")
    names = [_image_id(_here(name) if nested else name)] if isinstance(name, str) else []
    if type(number) is int and number in images:
        names.append(images[number].image_id)
    return [name for name in dict.fromkeys(names) if name]


def _image_id(name: str) -> str:
    path = PurePosixPath(name)
    return path.stem if path.parent == PurePosixPath() else (path.parent / path.stem).as_posix()


def _add_image(
    value: Mapping[str, Any], images: dict[int, Entry], names: dict[str, int], nested: bool
) -> bool:
    """Whether the image is new; False where the same was there already."""
    number, name, size = value["id"], value["file_name"], (value["width"], value["height"])
    if nested and isinstance(name, str):
        name = _here(name)
    if type(number) is not int or not all(type(side) is int and side > 0 for side in size):
        raise ValueError("id, width or height is no such number")
    if not isinstance(name, str) or not _is_file_name(name, nested):
        raise ValueError(f"{name!r} is no file name")
    entry = Entry(name, *size)
    known = images.get(number)
    if known == entry:
        return False
    if known is not None:
        differs = ", ".join(
            f"{field} {getattr(known, mine)} and {getattr(entry, mine)}"
            for field, mine in (("file_name", "name"), ("width", "width"), ("height", "height"))
            if getattr(known, mine) != getattr(entry, mine)
        )
        raise ValueError(f"two images have the id {number}, with {differs}")
    if entry.image_id in names:
        other = images[names[entry.image_id]]
        raise ValueError(
            f"{other.name} and {name} have one name, with id {names[entry.image_id]} and {number}"
        )
    images[number] = entry
    names[entry.image_id] = number
    return True


def _is_file_name(name: str, nested: bool) -> bool:
    path = PurePosixPath(name)
    plain = path.name == name if not nested else not path.is_absolute() and ".." not in path.parts
    return plain and bool(path.name) and "\0" not in name


def _here(name: str) -> str:
    """A file name with `/` between folders; of a path on another machine, or one up, the last."""
    path = PurePosixPath(name.replace("\\", "/"))
    elsewhere = path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts
    return path.name if elsewhere else str(path)


def _add_annotation(
    value: Mapping[str, Any],
    element: Element,
    annotations: dict[int, _Annotations],
    known: Mapping[int, str],
) -> None:
    number, image, category = value["id"], value["image_id"], value["category_id"]
    if type(image) is not int:
        raise ValueError(f"annotation {number} is of image {image!r}, which is no id")
    if category not in known:
        raise ValueError(f"annotation {number} has the unknown category {category!r}")
    if "segmentation" not in value:
        raise ValueError(f"annotation {number} has no segmentation")
    found = annotations.setdefault(image, _Annotations(number))
    found.things += not value.get("iscrowd")
    found.places.extend((element.start, element.stop))


def _pairs(found: _Annotations | None) -> tuple[tuple[int, int], ...]:
    if found is None:
        return ()
    return tuple(zip(found.places[0::2], found.places[1::2], strict=True))
