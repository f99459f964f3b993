"""Images without their masks, for the stages that come before any mask is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.errors import BenchError
from benchmarks.evaluation.loader import Loader
from benchmarks.train.draw import Variant, generator, variant
from datasets_prep.prepared.folds import FoldSet
from models.geometry import Geometry


@dataclass(frozen=True)
class ImageSample:
    """One image of a batch.

    Attributes:
        image: its id.
        variant: how it is changed.
        seed: of its noise and of what else happens to it.
    """

    image: str
    variant: Variant
    seed: int


class ImagePool:
    """All images of a dataset's training lists."""

    def __init__(self, folds: FoldSet, loader: Loader, geometry: Geometry, seed: int) -> None:
        names = {image for fold in folds.folds for image, _ in fold.train}
        if not names:
            raise BenchError("the dataset has no training list; its folds are for tests alone")
        self.names = tuple(sorted(names))
        self._loader, self._geometry, self._seed = loader, geometry, seed

    def draw(self, step: int, count: int) -> list[ImageSample]:
        """Samples of one step, drawn evenly."""
        random = generator(self._seed, step)
        chosen = [
            ImageSample(
                self.names[random.randint(len(self.names))],
                variant(random, wanted=True),
                int(random.randint(2**31)),
            )
            for _ in range(count)
        ]
        return chosen

    def prefetch(self, samples: Sequence[ImageSample]) -> None:
        """Begin to decode the images of some samples."""
        self._loader.prefetch_images([sample.image for sample in samples], self._geometry)

    def pixels(self, samples: Sequence[ImageSample], crop: int | None = None) -> Tensor:
        """B×3×H×W in -1..1, each a square of side `crop` cut out by its seed if that is given."""
        self.prefetch(samples)
        images = []
        for sample in samples:
            image = sample.variant.image(self._loader.image(sample.image, self._geometry))
            images.append(image if crop is None else _cropped(image, crop, sample.seed))
        return torch.stack(images).float() / 127.5 - 1


def _cropped(image: Tensor, side: int, seed: int) -> Tensor:
    random = np.random.RandomState(seed)
    top, left = (random.randint(max(1, length - side + 1)) for length in image.shape[1:])
    return image[:, top : top + side, left : left + side]


def stencilled(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Turn a quarter of the images into black and white ones, and blend an eighth with such.

    Masks are black and white images to the VAE. It learns them from the images alone: one
    channel, cut at a random level.

    Args:
        images: B×3×H×W in -1..1.
        seeds: one for each.
    """
    changed = images.clone()
    for index, seed in enumerate(seeds):
        random = np.random.RandomState(seed)
        kind, channel, level = random.randint(8), random.randint(3), random.uniform(-0.6, 0.6)
        if kind < 3:
            stencil = (images[index, channel] > level).float() * 2 - 1
            changed[index] = stencil if kind < 2 else (changed[index] + stencil) / 2
    return changed
