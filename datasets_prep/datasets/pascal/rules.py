"""Which (image, class) pairs are large enough for a fold list: the two rules in use.

The rules are said to be equal (a comment in PFENet's code) and are not: see the report that
preparation writes.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from datasets_prep.prepared.folds import Pair

Sizes = Mapping[str, Mapping[int, int]]  # image id -> class -> size in the rule's unit

OSLSM_STEP = 32
OSLSM_LEAST = 3
PFENET_LEAST = 2 * 32 * 32


def grid_hits(labels: NDArray[np.uint8]) -> dict[int, int]:
    """By class, how many points of OSLSM's grid it covers; a pair is kept from 3 on.

    Source: lzzcd001/OSLSM, `_remove_small_objects` and `change_coordinates`: the class's binary
    mask, zero-padded by 15 pixels (and to a multiple of 32), is resized to 1/32 by nearest
    neighbour and summed. A grid point's centre, `32·i + 15.5` in the padded mask, lies exactly
    between two pixels; it is rounded up, as scikit-image does in exact arithmetic, which gives
    pixel `32·i + 1` of the mask itself. scikit-image of 2017 estimated the transform by SVD, so
    rounding noise chose the pixel: 110 published pairs differ, no single grid has fewer than 109
    (`docs/datasets/pascal.md`), and the report names them.

    Args:
        labels: uint8 H×W, 0 background, i+1 class i, 255 ignore.
    """
    points = labels[1::OSLSM_STEP, 1::OSLSM_STEP]
    values, counts = np.unique(points[(points != 0) & (points != 255)], return_counts=True)
    return {int(value) - 1: int(count) for value, count in zip(values, counts, strict=True)}


def kept_pairs(images: Iterable[str], sizes: Sizes, least: int) -> list[Pair]:
    """Pairs of at least the given size: in the order of `images`, classes ascending in each."""
    return [
        (image, index)
        for image in images
        for index, size in sorted(sizes[image].items())
        if size >= least
    ]
