"""Readers of PACO-LVIS: its annotation files, and Matcher's pickles of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from datasets_prep.datasets.parts.sheet import Part, Sheet, image_id
from datasets_prep.errors import DatasetError
from datasets_prep.formats.jsonstream import Element, elements
from datasets_prep.formats.splitfiles import read_plain_pickle
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.runtime.progress import SILENT, Progress

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "id": int,
    "image_id": int,
    "category_id": int,
    "obj_ann_id": int,
    "area": (int, float),
    "file_name": str,
    "name": str,
    "bbox": list,
    "segmentation": (list, dict),
}
_PART = ("id", "image_id", "category_id", "obj_ann_id", "area", "bbox", "segmentation")
_FIELDS = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": _PART}


def read_release(
    train: Path, val: Path, least_area: int, faults: Faults, progress: Progress = SILENT
) -> Sheet:
    """PACO-LVIS's own files: classes by category number, images by id.

    Args:
        train: `paco_lvis_v1_train.json`, read for its classes alone.
        val: `paco_lvis_v1_val.json`, whose images are tested.
        least_area: pixels of a part, by its annotation, below which it is left out.
        faults: judges annotations that do not fit.
        progress: hears of the files' bytes.

    Raises:
        DatasetError: naming the file and what is wrong with it.
    """
    names: dict[int, str] = {}
    trained: set[int] = set()
    for key, value in _entries(train, ("annotations", "categories"), progress):
        if key == "categories":
            names[value["id"]] = value["name"]
        elif _is_part(value, least_area):
            trained.add(value["category_id"])
    order = sorted(trained & names.keys())
    files: dict[int, str] = {}
    boxes: dict[int, Any] = {}
    image_of: dict[int, int] = {}
    parts = []
    for key, value in _entries(val, ("images", "annotations"), progress):
        if key == "images":
            files[value["id"]] = value["file_name"]
        elif value["id"] == value["obj_ann_id"]:
            boxes[value["id"]], image_of[value["id"]] = value["bbox"], value["image_id"]
        elif _is_part(value, least_area):
            parts.append(value)
    unknown = sorted(trained - names.keys())
    wrong = [Fault(f"category {c}", f"{train} does not name its category {c}") for c in unknown]
    by_image: dict[int, list[Part]] = defaultdict(list)
    index_of = {category: index for index, category in enumerate(order)}
    for part in parts:
        image, thing, category = part["image_id"], part["obj_ann_id"], part["category_id"]
        named = f"{val}: annotation {part['id']}"
        if image not in files:
            called = f"annotation {part['id']}"
            wrong.append(Fault(called, f"{named} is of image {image}, which is not there"))
        elif category not in names:
            reason = f"{named} has the unknown category {category}"
            wrong.append(Fault(image_id(files[image]), reason))
        elif image_of.get(thing) != image:
            reason = f"{named} is of object {thing}, which its image does not have"
            wrong.append(Fault(image_id(files[image]), reason))
        elif category in index_of:
            by_image[image].append(Part(index_of[category], thing, part["segmentation"]))
    faults.settle("annotations do not fit:", wrong, [image_id(files[image]) for image in by_image])
    sheet = Sheet(tuple(names[category] for category in order))
    for image in sorted(by_image):
        if image_id(files[image]) not in faults.left_out:
            sheet.enter(val, files[image], by_image[image], boxes)
    return sheet


def _is_part(value: Mapping[str, Any], least_area: int) -> bool:
    """Whether an annotation is a part, not an object, which is its own, and not too small."""
    return bool(value["id"] != value["obj_ann_id"] and value["area"] >= least_area)


def _entries(
    path: Path, keys: tuple[str, ...], progress: Progress
) -> Iterator[tuple[str, dict[str, Any]]]:
    label, total = f"reading {path.name}", path.stat().st_size if path.exists() else None
    for element in elements(path, keys):
        progress.update(label, element.stop, total)
        yield element.key, _checked(path, element)


def _checked(path: Path, element: Element) -> dict[str, Any]:
    value = element.value if isinstance(element.value, dict) else {}
    for name in _FIELDS[element.key]:
        if not isinstance(value.get(name), _KINDS[name]):
            raise DatasetError(
                f"{path}: the entry of {element.key} at byte {element.start:,} has no usable {name}"
            )
    return value


def read_pickles(train: Path, val: Path) -> Sheet:
    """Matcher's files, whose orders are kept. They name no classes, only category numbers.

    Raises:
        DatasetError: naming the file, if it holds more than plain values or is not as Matcher's
            loader reads it.
    """
    trained, tested = read_plain_pickle(train), read_plain_pickle(val)
    path = train
    try:
        index_of = {category: index for index, category in enumerate(trained["cid2img"])}
        sheet, path = Sheet(tuple(f"category {category}" for category in index_of)), val
        ordered: dict[int, list[str]] = {}
        for category, images in tested["cid2img"].items():
            if category not in index_of:
                continue
            found = ordered.setdefault(index_of[category], [])
            for image in images:
                (number, name), *_ = image.items()
                file = "/".join(PurePosixPath(name).parts[-2:])
                if image_id(file) not in sheet.files:
                    _enter_pickled(sheet, val, file, tested["img2anno"][number], index_of)
                found.append(image_id(file))
        return Sheet(
            classes=sheet.classes,
            files=sheet.files,
            things=sheet.things,
            listed={
                index: {image: sheet.listed[index][image] for image in images}
                for index, images in ordered.items()
            },
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path} is not as Matcher's loader reads it ({type(error).__name__}: {error})"
        ) from None


def _enter_pickled(
    sheet: Sheet, path: Path, file: str, annotations: list[Any], index_of: Mapping[int, int]
) -> None:
    parts: list[Part] = []
    boxes: dict[int, Any] = {}
    for each in annotations:
        if each["category_id"] in index_of:
            index, thing = index_of[each["category_id"]], each["obj_ann_id"]
            parts.append(Part(index, thing, each["segmentation"]))
            boxes.setdefault(thing, each["obj_bbox"])
    sheet.enter(path, file, parts, boxes)
