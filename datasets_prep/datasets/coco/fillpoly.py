"""Fill a polygon pixel by pixel as `cv2.fillPoly` does, without OpenCV.

Source: OpenCV 4, modules/imgproc/src/drawing.cpp (`CollectPolyEdges`, `FillEdgeCollection`,
`LineIterator`, `clipLine`), for integer vertices and 8-connected lines. The pixels are those of
the outline, drawn as lines, and of every row those between the crossings of the even-odd rule.
Equal to OpenCV 4.3.0 and 4.5.5 in every pixel; later versions fill polygons that leave the image
a little differently at its border.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_BITS = 16  # of the fraction in OpenCV's fixed-point numbers
_ONE = 1 << _BITS

Points = NDArray[np.int64]


def fill_polygons(
    labels: NDArray[np.uint8], polygons: Sequence[Points], values: Sequence[int]
) -> None:
    """Paint polygons into an array, later ones over earlier ones.

    Args:
        labels: uint8 H×W, C-contiguous, changed in place.
        polygons: int64 N×2 each, N ≥ 1: x and y of each vertex in pixels; they may lie outside.
        values: what to write, for each polygon.
    """
    if not polygons:
        return
    height, width = labels.shape
    lengths = np.array([len(points) for points in polygons])
    last = np.cumsum(lengths) - 1
    ends = np.concatenate(polygons)
    starts = np.roll(ends, 1, axis=0)
    starts[last - lengths + 1] = ends[last]
    lines, owner = np.hstack([starts, ends]), np.repeat(np.arange(len(polygons)), lengths)
    inside, starts, stops = _stretches(lines, owner, width, height)
    drawn, pixels = _line_pixels(*_clipped(lines, owner, width, height), width)
    # Of each polygon the stretches inside it, then its outline.
    numbers = np.arange(1, len(polygons) + 1)
    until = zip(np.searchsorted(inside, numbers), np.searchsorted(drawn, numbers), strict=True)
    flat, stretches = labels.reshape(-1), list(zip(starts.tolist(), stops.tolist(), strict=True))
    stretch = pixel = 0
    for value, (last_stretch, last_pixel) in zip(values, until, strict=True):
        paint(labels.data, stretches[stretch:last_stretch], value, width)
        flat[pixels[pixel:last_pixel]] = value
        stretch, pixel = last_stretch, last_pixel


def paint(
    labels: memoryview, stretches: Iterable[tuple[int, int]], value: int, longest: int
) -> None:
    """Write a byte into stretches of an array's memory: several times as fast as by slices of it.

    Args:
        labels: contiguous bytes.
        stretches: start and stop of each, which must lie inside and not be turned round.
        value: what to write.
        longest: stop minus start, at most.
    """
    memory, brush = labels.cast("B"), memoryview(bytes([value]) * longest)
    for start, stop in stretches:
        memory[start:stop] = brush[: stop - start]


def _stretches(
    lines: Points, owner: Points, width: int, height: int
) -> tuple[Points, Points, Points]:
    """Polygon, start and stop of every stretch inside a polygon, in pixels in row order."""
    slanted = lines[:, 1] != lines[:, 3]
    lines, owner = lines[slanted], owner[slanted]
    upwards = (lines[:, 1] > lines[:, 3])[:, None]
    x0, y0, x1, y1 = np.where(upwards, lines[:, [2, 3, 0, 1]], lines).T
    run = (x1 - x0) * _ONE
    slopes = np.sign(run) * (np.abs(run) // (y1 - y0))  # as C divides
    # Of each line the rows that the image has; an even number of lines crosses any row.
    above = np.clip(-y0, 0, None)
    edge, step = _steps(np.clip(np.minimum(y1, height) - y0 - above, 0, None))
    step += above[edge]
    x, y, owner = x0[edge] * _ONE + step * slopes[edge], y0[edge] + step, owner[edge]
    order = np.lexsort((x, owner * height + y))
    x, left = x[order], order[0::2]
    first = np.clip((x[0::2] + _ONE - 1) >> _BITS, 0, width)
    stop = np.clip((x[1::2] >> _BITS) + 1, 0, width)
    seen = stop > first
    row = y[left][seen] * width
    return owner[left][seen], row + first[seen], row + stop[seen]


def _line_pixels(lines: Points, owner: Points, width: int) -> tuple[Points, Points]:
    """Polygon and place, in row order, of the pixels of lines, int64 N×4 of x0, y0, x1, y1.

    The lines are Bresenham's.
    """
    leftwards = (lines[:, 2] < lines[:, 0])[:, None]
    lines = np.where(leftwards, lines[:, [2, 3, 0, 1]], lines)
    across, down = lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]
    long = np.maximum(across, np.abs(down))
    short = np.minimum(across, np.abs(down))
    line, step = _steps(long + 1)
    # Halves are rounded down: a pixel is left only when the error exceeds one half.
    aside = (2 * step * short[line] + long[line] - 1) // np.maximum(2 * long[line], 1)
    steep = (np.abs(down) > across)[line]
    x = lines[line, 0] + np.where(steep, aside, step)
    y = lines[line, 1] + np.sign(down)[line] * np.where(steep, step, aside)
    return owner[line], y * width + x


def _steps(counts: Points) -> tuple[Points, Points]:
    """For counts 2, 3: which one (0, 0, 1, 1, 1), and the step within it (0, 1, 0, 1, 2)."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def _clipped(lines: Points, owner: Points, width: int, height: int) -> tuple[Points, Points]:
    """The parts of lines inside the image, with OpenCV's rounding, and their polygons."""
    low, high = np.minimum(lines[:, :2], lines[:, 2:]), np.maximum(lines[:, :2], lines[:, 2:])
    outside = np.flatnonzero((low < 0).any(axis=1) | (high >= (width, height)).any(axis=1))
    if not outside.size:
        return lines, owner
    lines, kept = lines.copy(), np.ones(len(lines), dtype=bool)
    for place in outside.tolist():
        cut = _clip(lines[place].tolist(), width - 1, height - 1)
        kept[place] = cut is not None
        lines[place] = cut or 0
    return lines[kept], owner[kept]


def _clip(line: list[int], right: int, bottom: int) -> tuple[int, int, int, int] | None:
    """First to the rows, then to the columns, truncating towards zero; None if nothing is left."""
    x0, y0, x1, y1 = line
    if max(y0, y1) < 0 or min(y0, y1) > bottom or max(x0, x1) < 0 or min(x0, x1) > right:
        return None
    if not 0 <= y0 <= bottom:
        y = 0 if y0 < 0 else bottom
        x0, y0 = x0 + int((y - y0) * (x1 - x0) / (y1 - y0)), y
    if not 0 <= y1 <= bottom:
        y = 0 if y1 < 0 else bottom
        x1, y1 = x1 + int((y - y1) * (x1 - x0) / (y1 - y0)), y
    if max(x0, x1) < 0 or min(x0, x1) > right:
        return None
    if not 0 <= x0 <= right:
        x = 0 if x0 < 0 else right
        x0, y0 = x, y0 + int((x - x0) * (y1 - y0) / (x1 - x0))
    if not 0 <= x1 <= right:
        x = 0 if x1 < 0 else right
        x1, y1 = x, y1 + int((x - x1) * (y1 - y0) / (x1 - x0))
    return x0, y0, x1, y1
