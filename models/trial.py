"""Small seeded images with masks of every kind, and what a segmenter makes of them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.geometry import Size
from models.segmenter import Features, Segmenter, seen_by_supports, trait

SHOTS = 5  # an ordinary mask, a second one, an empty one, a full one, a single pixel


class Trial:
    """A segmenter with images and masks of one size, and what it makes of them.

    Args:
        model: the segmenter.
        size: height and width of the images before its geometry, in pixels.
        device: where the model is.
        seed: of the images.
    """

    def __init__(self, model: Segmenter, size: Size, device: str, seed: int) -> None:
        self.model = model
        self.size = size
        self.device = device
        self.seed = seed
        generator = np.random.default_rng(seed)
        self.pictures = [_picture(generator, size) for _ in range(SHOTS)]
        self.labels = _labels(size)

    def trait(self, name: str) -> Any:
        """An attribute that a segmenter may leave out."""
        return trait(self.model, name)

    @cached_property
    def images(self) -> Tensor:
        """All images on the grid, 0..1."""
        pixels = [self.model.geometry.image(picture) for picture in self.pictures]
        return torch.stack(pixels).to(self.device).float().div_(255)

    @cached_property
    def masks(self) -> Tensor:
        """All masks on the grid, 0 or 1."""
        masks = [self.model.geometry.mask(label) for label in self.labels]
        return torch.stack(masks).to(self.device).float()

    @cached_property
    def features(self) -> list[Features]:
        """Every image encoded alone."""
        return [self.encode_images([index])[0] for index in range(SHOTS)]

    @cached_property
    def supports(self) -> list[Features]:
        """Every (image, mask) encoded alone."""
        return [self.encode_supports([index])[0] for index in range(SHOTS)]

    def encode_images(self, indices: Sequence[int]) -> list[Features]:
        """Some images encoded in one call."""
        return self.model.encode_image(self.images[list(indices)])

    def encode_supports(self, indices: Sequence[int]) -> list[Features]:
        """Some (image, mask) encoded in one call."""
        chosen = list(indices)
        seen = self.seen_by_supports(chosen)
        return self.model.encode_support(self.images[chosen], self.masks[chosen], seen)

    def seen_by_supports(self, indices: Iterable[int]) -> list[Features]:
        """What `encode_support` is given of some images, each encoded alone."""
        alone = (seen_by_supports(self.model, self.images[[index]]) for index in indices)
        return [features for one in alone for features in one]

    def segment(self, queries: Sequence[int], shots: Sequence[Sequence[int]]) -> Tensor:
        """Scores of some images as queries; each query's seed and truth are its own."""
        extras: dict[str, Any] = {}
        if "seeds" in self.trait("wants"):
            extras["seeds"] = [1000 + query for query in queries]
        if "truths" in self.trait("wants"):
            extras["truths"] = self.masks[list(queries)]
        if "names" in self.trait("wants"):
            extras["names"] = [f"class {query}" for query in queries]
        return self.model.segment(*self.chosen(queries, shots), **extras)

    def chosen(
        self, queries: Sequence[int], shots: Sequence[Sequence[int]]
    ) -> tuple[list[Features], list[list[Features]]]:
        """The features of some queries, and of the supports of each."""
        return (
            [self.features[query] for query in queries],
            [[self.supports[shot] for shot in row] for row in shots],
        )


def _picture(generator: np.random.Generator, size: Size) -> Image.Image:
    """A few coloured patches with noise."""
    coarse = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    height, width = size
    smooth = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = generator.integers(0, 128, smooth.shape, dtype=np.uint8)
    return Image.fromarray(smooth // 2 + noise)


def _labels(size: Size) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Two rectangles, nothing, everything and one pixel."""
    height, width = size
    labels = [np.zeros(size, dtype=np.uint8) for _ in range(SHOTS)]
    labels[0][height // 4 : height // 2, width // 4 : width // 2] = 1
    labels[1][height // 2 :, : width // 3] = 1
    labels[3][:] = 1
    labels[4][height // 2, width // 2] = 1
    return labels
