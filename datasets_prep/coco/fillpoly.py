"""Fill a polygon pixel by pixel as `cv2.fillPoly` does, without OpenCV.

Source: OpenCV 4, modules/imgproc/src/drawing.cpp (`CollectPolyEdges`, `FillEdgeCollection`,
`LineIterator`, `clipLine`), for integer vertices and 8-connected lines. The pixels are those of
the outline, drawn as lines, and of every row those between the crossings of the even-odd rule.
Equal to OpenCV 4.3.0 and 4.5.5 in every pixel; later versions fill polygons that leave the image
a little differently at its border.
"""

import numpy as np
from numpy.typing import NDArray

_BITS = 16  # of the fraction in OpenCV's fixed-point numbers
_ONE = 1 << _BITS

Points = NDArray[np.int64]


def fill_polygon(labels: NDArray[np.uint8], points: Points, value: int) -> None:
    """Paint a polygon into an array.

    Args:
        labels: uint8 H×W, changed in place.
        points: int64 N×2, x and y of each vertex in pixels; they may lie outside.
        value: what to write.
    """
    height, width = labels.shape
    for row, first, last in zip(*_rows(points), strict=True):
        if 0 <= row < height and last >= 0:
            labels[row, max(first, 0) : last + 1] = value
    lines = _clipped(np.hstack([np.roll(points, 1, axis=0), points]), width, height)
    x, y = _line_pixels(lines)
    labels[y, x] = value


def _rows(points: Points) -> tuple[list[int], list[int], list[int]]:
    """Row, first and last column of every stretch inside the polygon."""
    ends = np.roll(points, 1, axis=0)
    downwards = (points[:, 1] < ends[:, 1])[:, None]
    top, bottom = np.where(downwards, points, ends), np.where(downwards, ends, points)
    slanted = top[:, 1] != bottom[:, 1]
    top, bottom = top[slanted], bottom[slanted]
    heights = bottom[:, 1] - top[:, 1]
    run = (bottom[:, 0] - top[:, 0]) * _ONE
    slopes = np.sign(run) * (np.abs(run) // heights)  # as C divides
    edge, step = _steps(heights)
    x, y = top[edge, 0] * _ONE + step * slopes[edge], top[edge, 1] + step
    order = np.lexsort((x, y))
    x, y = x[order], y[order]
    first, last = (x[0::2] + _ONE - 1) >> _BITS, x[1::2] >> _BITS
    return y[0::2].tolist(), first.tolist(), last.tolist()


def _line_pixels(lines: Points) -> tuple[Points, Points]:
    """Columns and rows of the pixels of lines, int64 N×4 of x0, y0, x1, y1: Bresenham's."""
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
    return x, y


def _steps(counts: Points) -> tuple[Points, Points]:
    """For counts 2, 3: which one (0, 0, 1, 1, 1), and the step within it (0, 1, 0, 1, 2)."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def _clipped(lines: Points, width: int, height: int) -> Points:
    """The parts of lines inside the image, with OpenCV's rounding."""
    low, high = np.minimum(lines[:, :2], lines[:, 2:]), np.maximum(lines[:, :2], lines[:, 2:])
    outside = (low < 0).any(axis=1) | (high >= (width, height)).any(axis=1)
    if not outside.any():
        return lines
    right, bottom = width - 1, height - 1
    cut = [_clip(line, right, bottom) for line in lines[outside].tolist()]
    inside = [line for line in cut if line is not None]
    return np.vstack([lines[~outside], np.array(inside, dtype=np.int64).reshape(-1, 4)])


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
