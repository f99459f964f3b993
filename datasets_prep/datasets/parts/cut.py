"""Objects cut out of their images, each with a mask for every part in sight."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.coco.segmentation import encode
from datasets_prep.datasets.crossdomain.labelled import read_pixels
from datasets_prep.formats.imagefile import checked_image
from datasets_prep.prepared.records import ImageRecord, encode_png, mask_record

# Of the ids of crops, `IMAGE/OBJECT`.
GROUP = "^([^/]+)/"


@dataclass(frozen=True, slots=True)
class Thing:
    """One annotated object.

    Attributes:
        number: by which its crop is called.
        name: of what it is.
        box: first column and row of the crop, and the column and row after its last.
        parts: class and outline of each: polygons or RLE as COCO has them, or a mask H×W.
    """

    number: int
    name: str
    box: tuple[int, int, int, int]
    parts: tuple[tuple[int, Any], ...]


def crop_id(image_id: str, number: int) -> str:
    """The id of an object's crop."""
    return f"{image_id}/{number}"


def crop_records(image: Path, image_id: str, things: Sequence[Thing]) -> list[ImageRecord]:
    """The crop of every object that has parts and a box which is not empty.

    A crop is known by its image's bytes and the box, so that no decoder changes a digest.

    Raises:
        DatasetError: if the image is missing or damaged.
        ValueError: naming the object whose outline is wrong.
    """
    file = checked_image(image)
    pixels = read_pixels(image, "RGB")
    records = []
    for thing in things:
        masks: dict[int, NDArray[np.bool_]] = {}
        for index, outline in thing.parts:
            try:
                mask = _mask(outline, file.height, file.width)
            except ValueError as error:
                raise ValueError(f"object {thing.number} {error}") from None
            masks[index] = masks[index] | mask if index in masks else mask
        left, top = (max(0, side) for side in thing.box[:2])
        right, bottom = min(thing.box[2], file.width), min(thing.box[3], file.height)
        if masks and left < right and top < bottom:
            here = np.s_[top:bottom, left:right]
            known = f"{file.sha256} {left} {top} {right} {bottom}".encode()
            records.append(
                mask_record(
                    crop_id(image_id, thing.number),
                    encode_png(np.ascontiguousarray(pixels[here]), level=1),
                    hashlib.sha256(known).hexdigest(),
                    "test",
                    {index: mask[here] for index, mask in masks.items()},
                )
            )
    return records


def _mask(outline: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of an outline in its image, bool H×W."""
    from pycocotools import mask as coco

    if isinstance(outline, np.ndarray):
        if outline.shape != (height, width):
            raise ValueError(f"has a mask of {outline.shape}, its image is {(height, width)}")
        return outline.astype(bool)
    if isinstance(outline, dict) and isinstance(outline.get("counts"), bytes):
        outline = {**outline, "counts": outline["counts"].decode("latin-1")}
    found = [{"size": [height, width], "counts": c} for c in encode(outline, height, width)]
    if not found:
        return np.zeros((height, width), dtype=bool)
    return np.asarray(coco.decode(coco.merge(found)), dtype=bool)
