"""Boundary IoU as integer counts: how well a mask meets the border of the truth.

After Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", 2021,
and their code (github.com/bowenc0221/boundary-iou-api): a mask's border is what an erosion by 2% of
the image's diagonal takes away, the edge of the image counting as background.
"""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.metrics import METRICS, Metric

WIDTH = 0.02  # of the diagonal
Mask = NDArray[np.bool_]


def count_further(
    prediction: Mask, truth: NDArray[np.uint8], metrics: Collection[Metric]
) -> dict[str, int]:
    """What `metrics` count of one mask, by names as in `METRICS`; see `count_border`."""
    found: dict[str, int] = {}
    if "boundary" in metrics:
        found |= zip(METRICS["boundary"], count_border(prediction, truth), strict=True)
    return found


def count_border(prediction: Mask, truth: NDArray[np.uint8], ignore: int = 255) -> tuple[int, int]:
    """Intersection and union of the borders of two masks, in pixels.

    Ignored pixels are background in both, so that what is predicted there moves no border.

    Args:
        prediction: H×W bool.
        truth: H×W, 1 foreground, 0 background, `ignore` left out.
        ignore: the value of pixels that do not count.
    """
    ours, theirs = border(prediction & (truth != ignore)), border(truth == 1)
    return int(np.count_nonzero(ours & theirs)), int(np.count_nonzero(ours | theirs))


def border(mask: Mask) -> Mask:
    """The pixels of an H×W mask that have background within `width_of` rows and columns."""
    width = width_of(mask.shape[0], mask.shape[1])
    inner = np.pad(mask, width)
    inner = _all_of(inner, 2 * width + 1)
    inner = _all_of(inner.T, 2 * width + 1).T
    return mask & ~inner


def width_of(height: int, width: int) -> int:
    """How wide a border is on a grid, in pixels: at least one."""
    return max(round(WIDTH * math.sqrt(height**2 + width**2)), 1)


def _all_of(mask: Mask, length: int) -> Mask:
    """Whether all of `length` rows from each on are set; windows double until they are so long."""
    have = 1
    while have < length:
        step = min(have, length - have)
        mask = mask[:-step] & mask[step:]
        have += step
    return mask
