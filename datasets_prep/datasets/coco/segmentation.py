"""The outlines of one object, checked, and as COCO's run-length codes.

An RLE counts pixels column by column, in turns outside and inside the object. Its compressed form
is a string in which each count is a difference to the one before the last, in groups of five bits
from the lowest, one character a group (pycocotools, common/maskApi.c, `rleToString`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Polygon = list[float]  # x0, y0, x1, y1, ... in pixels

_MORE, _SIGN, _BITS = 0x20, 0x10, 5
_LONGEST = 7  # characters of one count


def polygons(segmentation: Any, height: int, width: int) -> list[Polygon]:
    """The polygons of an object; those of fewer than three points enclose nothing and are left out.

    Raises:
        ValueError: saying what is wrong: no polygons, or a corner that is no number or lies far
            outside the image (by more than its larger side), which would take any memory.
    """
    if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
        raise ValueError("has no list of polygons")
    margin = max(height, width)
    for polygon in segmentation:
        try:
            near = not polygon or (min(polygon) >= -margin and max(polygon) <= 2 * margin)
            total = sum(polygon)
        except TypeError:
            raise ValueError("has a polygon that is no list of numbers") from None
        if len(polygon) % 2:
            raise ValueError("has a polygon of an odd number of coordinates")
        if not near or total != total:  # which is how not-a-number differs
            raise ValueError(f"has a polygon far outside its image of {width}×{height}")
    return [polygon for polygon in segmentation if len(polygon) >= 6]


def encode(segmentation: Any, height: int, width: int) -> list[bytes]:
    """The object's parts as compressed RLE; together they cover it.

    Args:
        segmentation: a list of polygons, or an RLE (`size` and `counts`), as in an annotation.
        height: of its image.
        width: of its image.

    Raises:
        ValueError: saying what is wrong with it.
    """
    from pycocotools import mask as coco

    if not isinstance(segmentation, dict):
        outlines = polygons(segmentation, height, width)
        if not outlines:
            return []
        return [part["counts"] for part in coco.frPyObjects(outlines, height, width)]
    counts = segmentation.get("counts")
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            f"has an RLE of size {segmentation.get('size')}, its image is [{height}, {width}]"
        )
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("has an RLE with counts that are no numbers of pixels")
        _check_total(sum(counts), height, width)
        return [coco.frPyObjects(segmentation, height, width)["counts"]]
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError("has an RLE without counts")
    (bounds,) = run_bounds([counts.encode()])
    if not counts or bounds.min() < 0 or (np.diff(bounds) < 0).any():
        raise ValueError("has an RLE that no object can have")
    _check_total(int(bounds[-1]), height, width)
    return [counts.encode()]


def _check_total(pixels: int, height: int, width: int) -> None:
    if pixels != height * width:
        raise ValueError(f"has an RLE of {pixels} pixels, its image is {width}×{height}")


def run_bounds(rles: Sequence[bytes]) -> list[NDArray[np.int64]]:
    """For each compressed RLE the pixels, in column order, at which its runs end.

    The object's own runs are bounds[0]..bounds[1], bounds[2]..bounds[3] and so on.

    Raises:
        ValueError: if one is no compressed RLE.
    """
    characters = np.frombuffer(b"".join(rles), dtype=np.uint8).astype(np.int64) - ord("0")
    last = np.flatnonzero((characters & _MORE) == 0)
    ends = np.cumsum([len(rle) for rle in rles])
    lengths = np.diff(last, prepend=-1)
    values_until = np.searchsorted(last, ends)
    if (
        last.size == 0
        or not 0 <= characters.min() <= characters.max() < 2 * _MORE
        or not np.array_equal(last[values_until - 1], ends - 1)
        or lengths.max() > _LONGEST
    ):
        raise ValueError("has an RLE that is no compressed one")
    first = last - lengths + 1
    group = np.arange(len(characters)) - np.repeat(first, lengths)
    values = np.add.reduceat((characters & (_MORE - 1)) << (_BITS * group), first)
    values -= np.where(characters[last] & _SIGN, 1 << (_BITS * lengths), 0)
    bounds = []
    for start, stop in zip([0, *values_until[:-1]], values_until, strict=True):
        counts = values[start:stop]
        counts[1::2] = np.cumsum(counts[1::2])
        counts[2::2] = np.cumsum(counts[2::2])
        bounds.append(np.cumsum(counts))
    return bounds
