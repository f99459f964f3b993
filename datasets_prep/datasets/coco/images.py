"""One image of COCO: its file checked, its labels rendered."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets_prep.datasets.coco.classes import CLASS_OF
from datasets_prep.datasets.coco.index import Entry
from datasets_prep.datasets.coco.render import (
    MaskMode,
    Thing,
    first_polygon,
    overlap_last,
    per_class,
)
from datasets_prep.datasets.coco.segmentation import encode
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import ImageFile, checked_image, keep_copy
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.records import ImageRecord, Split, label_record, rle_record
from datasets_prep.runtime.parallel import ordered_results


@dataclass(frozen=True)
class Item:
    """All that a process needs to make one record.

    Attributes:
        entry: the image in its annotation file.
        split: "train" for train2014, "test" for others.
        annotations: the annotation file.
        image: the JPEG; None where labels alone are prepared.
        kept_image: where it is to lie; `image` itself if it may stay where it is.
        masks: how labels are made of outlines.
    """

    entry: Entry
    split: Split
    annotations: Path
    image: Path | None
    kept_image: Path | None
    masks: MaskMode

    @property
    def image_id(self) -> str:
        """As in the lists."""
        return self.entry.image_id


def records(
    items: Iterable[Item], jobs: int, faults: Faults | None = None
) -> Iterator[ImageRecord]:
    """Every image rendered, in order, in up to `jobs` processes.

    Raises:
        DatasetError: at the end, naming every file that is wrong; see `ordered_results`.
    """
    return ordered_results(make_record, items, jobs, faults)


def make_record(
    item: Item, read: Callable[[Path, Entry], list[Thing]] | None = None
) -> ImageRecord:
    """Check the image and render its labels, read by `read_things` or `read`.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    entry = item.entry
    try:
        image = None if item.image is None else checked_image(item.image)
        if image is not None and (image.width, image.height) != (entry.width, entry.height):
            raise DatasetError(
                f"{item.image} is {image.width}×{image.height}, but {entry.width}×{entry.height} "
                f"in {item.annotations}"
            )
        record = _labelled(item, image, (read or read_things)(item.annotations, entry))
    except ValueError as error:
        raise DatasetError(f"{item.annotations}: {error} (of {entry.name})") from None
    except OSError as error:
        raise DatasetError(f"{item.annotations} cannot be read: {error}") from None
    if image and item.image and item.kept_image:
        kept = keep_copy(item.image, item.kept_image, image.sha256)
        record = replace(record, image=kept)
    return record


def read_things(
    annotations: Path, entry: Entry, class_of: Mapping[int, int] = CLASS_OF, crowds: bool = False
) -> list[Thing]:
    """The objects of an image, in the order of the file.

    Args:
        annotations: the file.
        entry: the image in it.
        class_of: class index, by category.
        crowds: whether crowds are objects too.

    Raises:
        ValueError: naming a crowd whose RLE does not fit the image.
    """
    things = []
    with annotations.open("rb") as file:
        for start, stop in entry.places:
            file.seek(start)
            value = json.loads(file.read(stop - start))
            number, outline = value["id"], value["segmentation"]
            if crowds or not value.get("iscrowd"):
                things.append(Thing(number, class_of[value["category_id"]], outline))
            elif isinstance(outline, dict):
                _check_crowd(number, outline, entry)
    return things


def _check_crowd(number: int, outline: dict[str, Any], entry: Entry) -> None:
    try:
        encode(outline, entry.height, entry.width)
    except ValueError as error:
        raise ValueError(f"annotation {number} {error}") from None


def _labelled(item: Item, image: ImageFile | None, things: Sequence[Thing]) -> ImageRecord:
    entry, size = item.entry, (item.entry.height, item.entry.width)
    known = entry.image_id, item.kept_image, "" if image is None else image.sha256, item.split
    if item.masks == "per-class":
        return rle_record(*known, size, per_class(things, *size))
    render = overlap_last if item.masks == "overlap-last" else first_polygon
    return label_record(*known, render(things, *size))
