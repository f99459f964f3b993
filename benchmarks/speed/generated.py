"""Generated images and masks of real sizes, so that speed needs no dataset."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.evaluation.plan import Batch
from models.geometry import Geometry, Size

# Most images of PASCAL VOC, and of COCO.
SIZES: tuple[Size, ...] = ((375, 500), (500, 375), (333, 500))


@dataclass
class GeneratedImages:
    """Images and masks on a model's grid, a function of their names alone.

    Attributes:
        geometry: the model's.
        device: where tensors are wanted.
        sizes: original sizes, one of which each image gets.
    """

    geometry: Geometry
    device: torch.device
    sizes: Sequence[Size] = SIZES
    _images: dict[str, Tensor] = field(default_factory=dict)

    def size(self, image: str) -> Size:
        """The original size of an image."""
        return self.sizes[zlib.crc32(image.encode()) % len(self.sizes)]

    def grid(self, image: str) -> Size:
        """The model's grid for an image."""
        return self.geometry.grid(self.size(image))

    def prepare(self, batch: Batch) -> None:
        """Make the images of a batch, so that asking for them costs little."""
        for name in (*batch.images(), *(pair[0] for pair in batch.pairs())):
            self._image(name)

    def images(self, names: Sequence[str]) -> Tensor:
        """Images of one grid size: B×3×H×W in 0..1."""
        return torch.stack([self._image(name) for name in names]).to(self.device).float() / 255

    def masks(self, pairs: Sequence[tuple[str, int]]) -> Tensor:
        """Masks of (image, class): B×H×W in {0, 1}."""
        return torch.stack([self._mask(*pair) for pair in pairs]).to(self.device).float()

    def _image(self, name: str) -> Tensor:
        if name not in self._images:
            height, width = self.size(name)
            draw = np.random.default_rng(zlib.crc32(name.encode()))
            coarse = draw.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            self._images[name] = self.geometry.image(image)
        return self._images[name]

    def _mask(self, name: str, class_index: int) -> Tensor:
        height, width = self.size(name)
        draw = np.random.default_rng([zlib.crc32(name.encode()), class_index])
        top, left = draw.integers(0, height // 2), draw.integers(0, width // 2)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[top : top + height // 2, left : left + width // 2] = 1
        return self.geometry.mask(mask)
