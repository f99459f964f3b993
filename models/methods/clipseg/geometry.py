"""How PFENet's loader, and so CLIPSeg's evaluation, brings images to a square and scores back."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.geometry import Filter, Size, nearest, stretch

_MULTIPLE = 8


@dataclass(frozen=True)
class PFENetSquare:
    """The longest side reduced to `size`, both sides cut to multiples of 8, black from there on.

    Reduced bilinearly without antialiasing (OpenCV's filter), not rounded, and never enlarged.
    Scores of the whole square are stretched with aligned corners to a square of the image's longest
    side, of which the image is the top left. (That is where the authors' images land but for those
    smaller than `size`, whose scores they stretch too; here these stay where they are.)
    """

    size: int
    filter: ClassVar[Filter] = "bilinear"

    def content(self, size: Size) -> Size:
        """The part of the square that an image of `size` covers, from the top left."""
        longest = max(size)
        if longest <= self.size:
            return size
        ratio = self.size / longest
        height, width = (
            self.size if side == longest else int(side * ratio) // _MULTIPLE * _MULTIPLE
            for side in size
        )
        return max(height, 1), max(width, 1)

    def grid(self, size: Size) -> Size:
        """Always `size` × `size`."""
        return self.size, self.size

    def image(self, image: Image.Image) -> Tensor:
        """The image in the square: float32 in 0..255, 3×size×size."""
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()
        content = self.content((image.height, image.width))
        if content != pixels.shape[1:]:
            pixels = F.interpolate(pixels[None], content, mode="bilinear")[0]
        return self._padded(pixels)

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The mask in the square by nearest neighbour, 0 beyond it: uint8, size×size."""
        content = self.content((mask.shape[0], mask.shape[1]))
        return self._padded(nearest(torch.from_numpy(np.ascontiguousarray(mask)), content))

    def scores(self, scores: Tensor, size: Size, target: Size) -> Tensor:
        """Scores of an image of `size`, brought to its own size and from there to `target`."""
        height, width = size
        longest = max(size)
        if longest < self.size:
            square = stretch(scores, (self.size, self.size))[:, :longest, :longest]
        else:
            square = stretch(scores, (longest, longest), corners=True)
        return stretch(square[:, :height, :width], target)

    def _padded(self, part: Tensor) -> Tensor:
        height, width = part.shape[-2:]
        return F.pad(part, (0, self.size - width, 0, self.size - height))
