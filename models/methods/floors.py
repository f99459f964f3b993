"""What scores without looking at the query: floors to stay above, and one box-shaped ceiling.

They neither read nor keep pixels, so that a run of them costs little more than its evaluation.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models import catalog
from models.catalog import Card
from models.geometry import Squash
from models.methods.boxes import best_box
from models.segmenter import BaseSegmenter, Features, Supports

_NEVER = {"*": "no"}


class Blind:
    """The parts of the contract in which the floors agree: nothing is encoded.

    The grid is a small square; with `size` its side.
    """

    Options = catalog.Options
    size = 128
    support_uses_features = False
    image_reads_pixels = False
    support_reads_pixels = False
    batch_size = 32

    def __init__(self, options: Any, device: str) -> None:
        self.options = options
        self.device = device
        self.geometry = Squash(self.size)
        self.config = options.model_dump()

    @classmethod
    def load(cls, options: Any, *, device: str, dtype: str) -> Self:
        """The floor on `device`; it computes in float32 whatever `dtype` is."""
        return cls(options, device)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Nothing, per image."""
        return [Features({}) for _ in images]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Nothing, per support."""
        return [Features({}) for _ in masks]


class AllForeground(Blind, BaseSegmenter):
    """Every pixel is foreground."""

    card = Card(
        title="All foreground",
        summary="every pixel is foreground",
        sees_test_classes=_NEVER,
        kind="floor",
    )

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Ones, B×1×1."""
        return torch.ones(len(queries), 1, 1, device=self.device)


class CopySupportMask(Blind, BaseSegmenter):
    """Foreground where more than half of the K support masks are, all squashed to one grid."""

    card = Card(
        title="Copy of the support mask",
        summary="the majority of the support masks, at the same place",
        sees_test_classes=_NEVER,
        kind="floor",
    )

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `mask`: size×size uint8."""
        return [Features({"mask": mask.to(torch.uint8)}) for mask in masks]

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """The share of the supports that have foreground there, less a half: B×size×size."""
        shares = [
            torch.stack([shot["mask"] for shot in shots]).float().mean(0) for shots in supports
        ]
        return torch.stack(shares) - 0.5


class CentrePrior(Blind, BaseSegmenter):
    """A fixed ellipse in the middle, with the image's aspect ratio, that covers a stated share."""

    class Options(catalog.Options):
        """Options of the centre prior."""

        share: float = Field(
            default=0.25,
            gt=0,
            lt=1,
            description="the share of the image that the ellipse covers; from π/4 on the image's "
            "edges cut it",
        )

    card = Card(
        title="Centre prior",
        summary="a fixed ellipse in the middle of the image",
        sees_test_classes=_NEVER,
        kind="floor",
    )

    def __init__(self, options: Options, device: str) -> None:
        super().__init__(options, device)
        axis = (torch.arange(self.size, device=device) + 0.5) / self.size - 0.5
        distance = torch.hypot(axis[:, None], axis[None, :])
        self.scores = distance.quantile(options.share) - distance

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """The ellipse's radius minus the distance from the centre: B×size×size."""
        return self.scores.expand(len(queries), -1, -1)


class Random(Blind, BaseSegmenter):
    """Noise: each of 128×128 blocks is foreground with probability one half.

    The blocks are drawn uniformly from -0.5..0.5 by numpy's `RandomState` from the episode's seed,
    a generator whose numbers numpy has promised not to change (NEP 19).
    """

    card = Card(
        title="Random",
        summary="128×128 blocks of noise, seeded by the episode",
        sees_test_classes=_NEVER,
        kind="floor",
    )
    wants = frozenset({"seeds"})

    def segment(
        self, queries: Sequence[Features], supports: Supports, *, seeds: Sequence[int]
    ) -> Tensor:
        """Uniform noise in -0.5..0.5, B×size×size; a seed counts modulo 2^32."""
        noise = [np.random.RandomState(seed % 2**32).rand(self.size, self.size) for seed in seeds]
        return torch.from_numpy(np.stack(noise) - 0.5).float().to(self.device)


class OracleBox(Blind, BaseSegmenter):
    """The box that overlaps the query's true mask best: a ceiling for what answers with a box.

    See `models.methods.boxes.best_box` for what "best" is held to; boxes are sought on a 256×256
    grid.
    """

    card = Card(
        title="Oracle box",
        summary="the box with the greatest IoU, found from the query's true mask",
        sees_test_classes={"*": "yes"},
        kind="oracle",
    )
    size = 256
    wants = frozenset({"truths"})

    def segment(self, queries: Sequence[Features], supports: Supports, *, truths: Tensor) -> Tensor:
        """1 in the box and -1 outside: B×size×size, from the true masks on the grid (B×H×W)."""
        scores = torch.full((len(truths), self.size, self.size), -1.0, device=self.device)
        for score, truth in zip(scores, truths, strict=True):
            box = best_box(truth.cpu().numpy() == 1)
            if box is not None:
                top, bottom, left, right = box
                score[top:bottom, left:right] = 1
        return scores
