"""How an image lies in the square that SAM sees, as the authors' `SamPredictor` places it."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.geometry import LongestSide, Size, stretch
from models.weights.pretrained import normalised

# Masks are drawn with 128 in the channel that the authors read, and padded after normalising it as
# if it were an image's, so with the mean of that channel: neither inside nor outside.
DRAWN, NEUTRAL = 128, 123.675


@dataclass(frozen=True)
class Frame:
    """An image scaled by its longest side into the top left of a square.

    Attributes:
        size: height and width of the image.
        side: of the square, in pixels.
    """

    size: Size
    side: int

    @property
    def content(self) -> Size:
        """Height and width of the scaled image."""
        return LongestSide(self.side).content(self.size)

    def image(self, image: Tensor, like: Tensor) -> Tensor:
        """An image (3×H×W in 0..1) in the square, normalised; the padding is 0.

        Scaled as 8-bit values, antialiased; on the device and in the dtype of `like`.
        """
        values = image.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        square = LongestSide(self.side).image(Image.fromarray(values))
        height, width = self.content
        return self._padded(normalised(square[:, :height, :width].float() / 255, like))

    def mask(self, mask: Tensor) -> Tensor:
        """A mask (H×W in {0, 1}) drawn in the square: 0 to `DRAWN`, and `NEUTRAL` in the padding.

        It is scaled like an image, so soft at its border.
        """
        height, width = self.content
        drawn = Image.fromarray(mask.mul(DRAWN).byte().cpu().numpy())
        scaled = drawn.resize((width, height), Image.Resampling.BILINEAR)
        return self._padded(torch.from_numpy(np.array(scaled)).to(mask), NEUTRAL)

    def points(self, points: Tensor) -> Tensor:
        """Places in the image's pixels, (x, y) in the last dimension, as places in the square."""
        (height, width), (rows, columns) = self.size, self.content
        return points * points.new_tensor([columns / width, rows / height])

    def restored(self, maps: Tensor, target: Size | None = None) -> Tensor:
        """Maps over the square (B×h×w) stretched bilinearly over the image: B×H×W.

        That is by way of the whole square, as in SAM's own code. With `target` the image is
        stretched to that height and width.
        """
        height, width = self.content
        square = stretch(maps, (self.side, self.side))
        return stretch(square[:, :height, :width], target or self.size)

    def _padded(self, maps: Tensor, value: float = 0.0) -> Tensor:
        height, width = self.content
        return F.pad(maps, (0, self.side - width, 0, self.side - height), value=value)


@dataclass(frozen=True)
class Squashed:
    """An image squashed to a square, on which points are found and masks are wanted.

    Attributes:
        frame: of the image that SAM sees, be it the squashed one or the image as it was.
        side: of the square to which it is squashed, in pixels.
    """

    frame: Frame
    side: int

    def points(self, points: Tensor) -> Tensor:
        """Places on the squashed image, (x, y) in the last dimension, as places in SAM's square."""
        height, width = self.frame.size
        scale = points.new_tensor([width / self.side, height / self.side])
        return self.frame.points(points * scale)

    def restored(self, maps: Tensor) -> Tensor:
        """Maps over SAM's square (B×h×w) over the squashed image: B×side×side."""
        return self.frame.restored(maps, (self.side, self.side))
