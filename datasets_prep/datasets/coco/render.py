"""From the objects of an image to its labels, in the three ways that are in use.

`overlap-last`: every polygon of every object, in the order of the annotations, a later object over
an earlier one. `first-polygon`: the only published generator of COCO-20i's label maps (mboudiaf/
RePRI-Few-Shot-Segmentation, data/coco/create_masks.py): as before, but of each object the first
polygon alone, its corners truncated to integers, filled by `cv2.fillPoly`. `per-class`: a mask for
each class, which may overlap (as in kaixin96/PANet, which counts crowds too).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.coco.fillpoly import fill_polygons, paint
from datasets_prep.datasets.coco.segmentation import encode, polygons, run_bounds

MaskMode = Literal["overlap-last", "first-polygon", "per-class"]


@dataclass(frozen=True, slots=True)
class Thing:
    """One annotated object that is no crowd.

    Attributes:
        number: the annotation's id.
        class_index: of its category.
        segmentation: as the annotation has it.
    """

    number: int
    class_index: int
    segmentation: Any


def overlap_last(things: Sequence[Thing], height: int, width: int) -> NDArray[np.uint8]:
    """The label map H×W, 0 background and i+1 class i, of whole objects painted in order.

    Equal to painting `annToMask` of each object, without making a mask of each.

    Raises:
        ValueError: naming the annotation that is wrong.
    """
    parts, values = [], []
    for thing in things:
        with named(thing):
            outline = encode(thing.segmentation, height, width)
        parts += outline
        values += [thing.class_index + 1] * len(outline)
    columns = np.zeros(width * height, dtype=np.uint8)
    for value, bounds in zip(values, run_bounds(parts) if parts else (), strict=True):
        ends = bounds.tolist()
        longest = int(np.diff(bounds).max(initial=0))
        paint(columns.data, zip(ends[0::2], ends[1::2], strict=False), value, longest)
    return np.ascontiguousarray(columns.reshape(width, height).T)


def first_polygon(things: Sequence[Thing], height: int, width: int) -> NDArray[np.uint8]:
    """The label map H×W, 0 background and i+1 class i, of first polygons painted in order.

    Raises:
        ValueError: naming the annotation that is wrong.
    """
    labels = np.zeros((height, width), dtype=np.uint8)
    corners, values = [], []
    for thing in things:
        with named(thing):
            outlines = polygons(thing.segmentation, height, width)
        if outlines:
            corners.append(np.array(outlines[0]).reshape(-1, 2).astype(np.int64))
            values.append(thing.class_index + 1)
    fill_polygons(labels, corners, values)
    return labels


def per_class(things: Sequence[Thing], height: int, width: int) -> dict[int, tuple[bytes, int]]:
    """For each class in sight, by index, all of its objects as one compressed RLE, and its pixels.

    Raises:
        ValueError: naming the annotation that is wrong.
    """
    from pycocotools import mask as coco

    parts: dict[int, list[dict[str, Any]]] = {}
    for thing in things:
        with named(thing):
            outline = encode(thing.segmentation, height, width)
        shape = [height, width]
        parts.setdefault(thing.class_index, []).extend(
            {"size": shape, "counts": counts} for counts in outline
        )
    united = {index: coco.merge(found) for index, found in sorted(parts.items()) if found}
    areas = {index: int(coco.area(rle)) for index, rle in united.items()}
    return {index: (rle["counts"], areas[index]) for index, rle in united.items() if areas[index]}


@contextmanager
def named(thing: Thing) -> Iterator[None]:
    """Have a ValueError begin with which annotation it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"annotation {thing.number} {error}") from None
