"""What a support's annotator might have given in place of a mask, drawn from the mask by rule.

Each rule is deterministic and its result a mask again, so that every model can be given it:
`box`, `scribble` and `point` after PANet's weak annotations (Wang et al. 2019) and VRP-SAM's
prompts (Sun et al. 2024), `eroded` and `dilated` for masks that are drawn carelessly.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

NOISE = 0.25  # the share of its area that an eroded or dilated mask loses or gains
_DISC = 0.01  # radius of a point's disc, of the image's diagonal
_BRUSH = 0.005  # half the width of a scribble, likewise


def box(mask: Mask) -> Mask:
    """The mask's tight box, filled."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    drawn = np.zeros_like(mask)
    drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return drawn


def point(mask: Mask) -> Mask:
    """A disc about the centre of the largest disc that fits into the mask, cut to the mask.

    Of several such centres it is the first, row by row. The image's border counts as background.
    """
    depth = _depth(mask)
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    radius = max(_DISC * float(np.hypot(*mask.shape)), 1.0)
    near: Mask = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return near & mask


def scribble(mask: Mask) -> Mask:
    """The skeleton of the mask's largest part (Zhang and Suen 1984), thickened, cut to the mask."""
    from scipy import ndimage

    parts, number = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=number + 1)
    sizes[0] = 0
    part = parts == sizes.argmax()
    line = _thinned(part)
    line = line if line.any() else part  # of two by two pixels thinning leaves none
    width = max(_BRUSH * float(np.hypot(*mask.shape)), 1.0)
    drawn: Mask = (ndimage.distance_transform_edt(~line) <= width) & mask
    return drawn


def eroded(mask: Mask) -> Mask:
    """The mask without the quarter of it that lies nearest to its border, row by row at a tie."""
    return _without(mask, round(NOISE * int(mask.sum())))


def dilated(mask: Mask) -> Mask:
    """The mask with the background nearest to it, a quarter of its area, row by row at a tie."""
    wanted = round(NOISE * int(mask.sum()))
    return ~_without(~mask, min(wanted, int((~mask).sum())), edge=False)


def _without(mask: Mask, number: int, *, edge: bool = True) -> Mask:
    """A mask less so many of its outermost pixels."""
    kept = mask.ravel().copy()
    places = np.flatnonzero(kept)
    order = np.argsort(_depth(mask, edge=edge).ravel()[places], kind="stable")
    kept[places[order[:number]]] = False
    return kept.reshape(mask.shape)


RULES: Mapping[str, Callable[[Mask], Mask]] = {
    "box": box,
    "scribble": scribble,
    "point": point,
    "eroded": eroded,
    "dilated": dilated,
}


def prompted(mask: Mask, rule: str) -> Mask:
    """The prompt that `rule` draws from a mask; an empty mask stays as it is.

    Args:
        mask: H×W bool.
        rule: a name of `RULES`, or "mask" for the mask itself.
    """
    return mask if rule == "mask" or not mask.any() else RULES[rule](mask)


def _depth(mask: Mask, *, edge: bool = True) -> NDArray[np.float64]:
    """The distance in pixels from each pixel of the mask to the nearest one outside.

    Args:
        mask: H×W bool.
        edge: whether what lies beyond the image is outside.
    """
    from scipy import ndimage

    padded = np.pad(mask, 1, constant_values=not edge)
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    return depth


def _thinned(mask: Mask) -> Mask:
    """Zhang and Suen's thinning: border pixels go, in two turns, while the part stays whole."""
    image = np.pad(mask, 1).astype(np.uint8)
    while True:
        gone = 0
        for turn in (0, 1):
            north, south = image[:-2, 1:-1], image[2:, 1:-1]
            west, east = image[1:-1, :-2], image[1:-1, 2:]
            ring = [
                north, image[:-2, 2:], east, image[2:, 2:],
                south, image[2:, :-2], west, image[:-2, :-2],
            ]  # fmt: skip
            held = sum(ring[1:], ring[0])
            steps = sum(
                (a == 0) & (b == 1) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)
            )
            loose = (
                north * east * south if turn == 0 else north * east * west,
                east * south * west if turn == 0 else north * south * west,
            )
            remove = (
                (image[1:-1, 1:-1] == 1)
                & (held >= 2)
                & (held <= 6)
                & (steps == 1)
                & (loose[0] == 0)
                & (loose[1] == 0)
            )
            gone += int(remove.sum())
            image[1:-1, 1:-1][remove] = 0
        if not gone:
            return image[1:-1, 1:-1].astype(bool)
