"""The box that overlaps a mask best."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # top, bottom, left, right; bottom and right excluded

_CELLS = 24


def best_box(mask: NDArray[np.bool_]) -> Box | None:
    """A box whose intersection over union with `mask` is the greatest or close to it.

    The best of all boxes with edges on a grid of 24×24 cells over the mask's tight box is found
    exactly (the tight box is one of them, so the answer is never worse). Its edges are then moved
    by up to a cell, top with bottom and left with right in turn, as long as that helps. In a tight
    box of up to 24×24 pixels the answer is the best box of all.

    Args:
        mask: H×W, True is foreground.

    Returns:
        The box, or None for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # Pixels in the top left rectangle of each size, so that any box's count takes four look-ups.
    corner = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), dtype=np.int32)
    inside.astype(np.int32).cumsum(1).cumsum(0, out=corner[1:, 1:])
    box = _best_coarse(corner)
    reach = (-(-inside.shape[0] // _CELLS), -(-inside.shape[1] // _CELLS))
    if reach != (1, 1):
        box = _refined(corner, box, reach)
    return box[0] + top, box[1] + top, box[2] + left, box[3] + left


def _iou(corner: NDArray[np.int32], box: Box) -> float:
    """Intersection over union of a box with the mask."""
    top, bottom, left, right = box
    inside = corner[bottom, right] - corner[top, right] - corner[bottom, left] + corner[top, left]
    return float(inside / (corner[-1, -1] + (bottom - top) * (right - left) - inside))


def _best_coarse(corner: NDArray[np.int32]) -> Box:
    """The best box with edges on a grid of cells, by Dinkelbach's method (1967).

    The ratio I/U is at least r for a box if I - r·U is at least 0, and that is a sum over cells,
    so its greatest value over all boxes is found exactly; r is raised to the ratio of the box that
    attains it until no box is better.
    """
    height, width = corner.shape[0] - 1, corner.shape[1] - 1
    rows, columns = _edges(height), _edges(width)
    inside = corner[np.ix_(rows, columns)].astype(np.float64)
    area = np.outer(rows, columns)
    upper, lower = np.triu_indices(len(rows), 1)
    box: Box = (0, height, 0, width)
    ratio = _iou(corner, box)
    while True:
        # With U = A - I + pixels of the mask, I - r·U = (1 + r)·I - r·A less a constant.
        gain = (1 + ratio) * inside - ratio * area
        bands = gain[lower] - gain[upper]
        least = np.minimum.accumulate(bands, axis=1)
        band, end = divmod(int((bands - least).argmax()), bands.shape[1])
        start = int(bands[band, : end + 1].argmin())
        found = (
            int(rows[upper[band]]),
            int(rows[lower[band]]),
            int(columns[start]),
            int(columns[end]),
        )
        better = _iou(corner, found)
        if better <= ratio:
            return box
        box, ratio = found, better


def _edges(side: int) -> NDArray[np.int64]:
    """The edges of at most `_CELLS` cells along a side, both ends included."""
    cells = min(_CELLS, side)
    return np.arange(cells + 1) * side // cells


def _refined(corner: NDArray[np.int32], box: Box, reach: tuple[int, int]) -> Box:
    """Move the edges by up to `reach` (rows, columns) in turn until no move helps."""
    total = int(corner[-1, -1])
    ratio = _iou(corner, box)
    while True:
        top, bottom, left, right = box
        counts = corner[:, right] - corner[:, left]
        top, bottom = _best_span(counts, (top, bottom), reach[0], right - left, total)
        counts = corner[bottom] - corner[top]
        left, right = _best_span(counts, (left, right), reach[1], bottom - top, total)
        box = (top, bottom, left, right)
        better = _iou(corner, box)
        if better <= ratio:
            return box
        ratio = better


def _best_span(
    counts: NDArray[np.int32], span: tuple[int, int], reach: int, width: int, total: int
) -> tuple[int, int]:
    """The best span near `span` along one side, from cumulative counts in a band of `width`."""
    starts, ends = (
        np.arange(max(edge - reach, 0), min(edge + reach, len(counts) - 1) + 1) for edge in span
    )
    inside = counts[ends] - counts[starts, None]
    area = (ends - starts[:, None]) * width
    ratio = np.where(area > 0, inside / np.maximum(total + area - inside, 1), -1.0)
    start, end = divmod(int(ratio.argmax()), len(ends))
    return int(starts[start]), int(ends[end])
