"""How an image and its mask reach a model's grid, and how scores come back.

A geometry is a small frozen value that runs in the loader and in the evaluator, so that no
model resizes by itself. Sizes are (height, width) throughout, except PIL's own `Image.size`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Size = tuple[int, int]
Filter = Literal["bilinear", "bicubic"]

_PIL_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Geometry(Protocol):
    """Maps images and masks of any size onto a model's grid, and scores back."""

    def grid(self, size: Size) -> Size:
        """The grid's (height, width) for an image of `size`."""

    def image(self, image: Image.Image) -> Tensor:
        """An RGB image on the grid: uint8 or, not rounded, float32 in 0..255, 3×H×W."""

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """A label array on the grid by nearest neighbour: uint8, H×W, values unchanged."""

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Grid scores (B×H×W) of an image of `size`, stretched over that image at `target`."""


def nearest(mask: Tensor, size: Size) -> Tensor:
    """Resize a uint8 H×W mask by nearest neighbour, with the rounding of `F.interpolate`."""
    if tuple(mask.shape) == tuple(size):
        return mask
    return F.interpolate(mask[None, None].float(), size=size, mode="nearest")[0, 0].to(mask.dtype)


def stretch(scores: Tensor, size: Size, *, corners: bool = False) -> Tensor:
    """Resize B×H×W scores bilinearly, without antialiasing.

    Pixels' centres are half a pixel from the border, or with `corners` on it ("aligned corners").
    """
    if tuple(scores.shape[-2:]) == tuple(size):
        return scores
    return F.interpolate(
        scores[:, None].float(), size=size, mode="bilinear", align_corners=corners
    )[:, 0]


def _resized(image: Image.Image, size: Size, resample: Filter) -> Tensor:
    """PIL's antialiased resize of an RGB image to `size`, as uint8 3×H×W."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    height, width = size
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), _PIL_FILTERS[resample])
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def _label_tensor(mask: NDArray[np.uint8]) -> Tensor:
    """The array as a tensor; copied only where torch could not share it safely."""
    return torch.from_numpy(np.require(mask, requirements=["C", "W"]))


@dataclass(frozen=True)
class Squash:
    """A square of `size`, the aspect ratio lost, as HSNet and DiffewS have it."""

    size: int
    filter: Filter = "bilinear"

    def grid(self, size: Size) -> Size:
        """Always `size` × `size`."""
        return self.size, self.size

    def image(self, image: Image.Image) -> Tensor:
        """The squashed image: uint8, 3×size×size."""
        return _resized(image, (self.size, self.size), self.filter)

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The squashed mask by nearest neighbour: uint8, size×size."""
        return nearest(_label_tensor(mask), (self.size, self.size))

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Scores stretched from the square to `target`: B×H×W."""
        return stretch(scores, target)


@dataclass(frozen=True)
class SquashAs(Squash):
    """A square whose masks or scores are resized as a model's authors do it.

    Attributes:
        masks: "pil" for PIL's nearest neighbour, which rounds otherwise than torch's; "half" for
            what an antialiased mask covers by at least half.
        back: how scores are stretched: bilinearly between half-pixel "centres" or between
            "corners" that fall together, or by "nearest" neighbour.
    """

    masks: Literal["nearest", "pil", "half"] = "nearest"
    back: Literal["centres", "corners", "nearest"] = "centres"

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The squashed mask: uint8, size×size; of "half", only 0 and 1."""
        size = (self.size, self.size)
        if self.masks == "pil":
            return torch.from_numpy(np.array(Image.fromarray(mask).resize(size, 0)))
        if self.masks == "half" and mask.shape != size:
            whole = _label_tensor(mask)[None, None].float()
            return (F.interpolate(whole, size, mode="bilinear", antialias=True) >= 0.5)[0, 0].byte()
        return super().mask(mask)

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Scores stretched from the square to `target`: B×H×W."""
        if self.back == "nearest":
            return F.interpolate(scores[:, None].float(), target, mode="nearest")[:, 0]
        return stretch(scores, target, corners=self.back == "corners")


@dataclass(frozen=True)
class LongestSide:
    """The longest side scaled to `size`, padded at bottom and right to a square, as SAM has it.

    `pad` is the RGB fill in 0..1 (a model that pads after normalising gives its mean here).
    """

    size: int
    pad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    filter: Filter = "bilinear"

    def content(self, size: Size) -> Size:
        """The part of the square that an image of `size` covers, from the top left."""
        height, width = size
        scale = self.size / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def grid(self, size: Size) -> Size:
        """Always `size` × `size`."""
        return self.size, self.size

    def image(self, image: Image.Image) -> Tensor:
        """The scaled and padded image: uint8, 3×size×size; the fill is rounded to 8 bits."""
        content = _resized(image, self.content((image.height, image.width)), self.filter)
        fill = torch.tensor([round(value * 255) for value in self.pad], dtype=torch.uint8)
        out = fill[:, None, None].repeat(1, self.size, self.size)
        out[:, : content.shape[1], : content.shape[2]] = content
        return out

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The scaled mask by nearest neighbour, 0 in the padding: uint8, size×size."""
        height, width = self.content((mask.shape[0], mask.shape[1]))
        out = torch.zeros(self.size, self.size, dtype=torch.uint8)
        out[:height, :width] = nearest(_label_tensor(mask), (height, width))
        return out

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Scores without the padding, stretched to `target`: B×H×W."""
        rows, columns = scores.shape[-2:]
        height, width = self.content(size)
        kept = scores[
            :,
            : max(1, round(rows * height / self.size)),
            : max(1, round(columns * width / self.size)),
        ]
        return stretch(kept, target)


@dataclass(frozen=True)
class Native:
    """The image's own size, each side rounded to a `multiple` and scaled by `scale` first."""

    multiple: int
    scale: float = 1.0
    filter: Filter = "bilinear"

    def grid(self, size: Size) -> Size:
        """The nearest multiples of both scaled sides, at least one `multiple` each."""
        height, width = (
            max(1, int(side * self.scale / self.multiple + 0.5)) * self.multiple for side in size
        )
        return height, width

    def image(self, image: Image.Image) -> Tensor:
        """The image on its grid: uint8, 3×H×W."""
        return _resized(image, self.grid((image.height, image.width)), self.filter)

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The mask on its grid by nearest neighbour: uint8, H×W."""
        return nearest(_label_tensor(mask), self.grid((mask.shape[0], mask.shape[1])))

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Scores stretched to `target`: B×H×W."""
        return stretch(scores, target)
