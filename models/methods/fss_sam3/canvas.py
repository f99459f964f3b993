"""The canvas that shows supports and query to SAM 3 at once.

After `create_input` and `create_canvas` of `model/evaluate.py` in WongKinYiu/FSS-SAM3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Orient = Literal["vertical", "horizontal"]
Arrangement = Literal["l_shape", "vertical_strip", "horizontal_strip"]
RATIO, RATIO_OF_SEVERAL = 0.6, 0.3


@dataclass(frozen=True)
class Place:
    """A rectangle of the canvas, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """How the canvas is divided.

    Attributes:
        side: of the square canvas, in pixels.
        ratio: the supports' share of the side; None for 0.6 of one and 0.3 of several.
        orient: one support above the query, or to its left.
        swap: the query above, or to the left of, the one support.
        layout: of several supports. An L begins with three of five along the top.
    """

    side: int
    ratio: float | None = None
    orient: Orient = "vertical"
    swap: bool = True
    layout: Arrangement = "l_shape"

    def places(self, shots: int) -> tuple[list[Place], Place]:
        """Where the supports go, and the query."""
        if shots == 1:
            support, query = self._pair()
            return [support], query
        side = self.side
        thick = round(side * (self.ratio or RATIO_OF_SEVERAL))
        rest = side - thick
        if self.layout == "vertical_strip":
            strips = [Place(0, top, thick, height) for top, height in _cut(side, shots)]
            return strips, Place(thick, 0, rest, side)
        if self.layout == "horizontal_strip":
            strips = [Place(left, 0, width, thick) for left, width in _cut(side, shots)]
            return strips, Place(0, thick, side, rest)
        above = (shots + 1) // 2
        places = [Place(left, 0, width, thick) for left, width in _cut(side, above)]
        places += [
            Place(0, thick + top, thick, height) for top, height in _cut(rest, shots - above)
        ]
        return places, Place(thick, thick, rest, rest)

    def _pair(self) -> tuple[Place, Place]:
        side, cut = self.side, int(self.side * (self.ratio or RATIO))
        rest = side - cut
        if self.orient == "vertical":
            if self.swap:
                return Place(0, rest, side, cut), Place(0, 0, side, rest)
            return Place(0, 0, side, cut), Place(0, cut, side, rest)
        if self.swap:
            return Place(rest, 0, cut, side), Place(0, 0, rest, side)
        return Place(0, 0, cut, side), Place(cut, 0, rest, side)


def paint(side: int, images: Sequence[Tensor], places: Sequence[Place]) -> Tensor:
    """Images squashed into their places: 3×side×side, whole numbers in 0..255.

    Args:
        side: of the canvas, in pixels.
        images: each uint8, 3×H×W.
        places: one for each image.
    """
    canvas = torch.zeros(3, side, side, device=images[0].device)
    for image, place in zip(images, places, strict=True):
        size = (place.height, place.width)
        small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        rows = slice(place.top, place.top + place.height)
        columns = slice(place.left, place.left + place.width)
        canvas[:, rows, columns] = small.round().clamp(0, 255)
    return canvas


def placed(box: Tensor, image: Tensor, place: Place, side: int) -> Tensor:
    """A box of an image as SAM 3 wants it: centre x and y, width and height, as shares of the side.

    Args:
        box: left, top, width, height in pixels of the image.
        image: 3×H×W.
        place: where the image is on the canvas.
        side: of the canvas, in pixels.
    """
    left, top, width, height = box.unbind()
    across, down = place.width / image.shape[2], place.height / image.shape[1]
    x, y = place.left + (left + width / 2) * across, place.top + (top + height / 2) * down
    return torch.stack([x, y, width * across, height * down]) / side


def _cut(length: int, parts: int) -> list[tuple[int, int]]:
    """Starts and lengths of equal parts; the last one takes what is left."""
    step = length // parts
    ends = [*(step * part for part in range(1, parts)), length]
    return [(step * part, end - step * part) for part, end in enumerate(ends)]
