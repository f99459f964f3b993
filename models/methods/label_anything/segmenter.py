"""Label Anything as a `Segmenter` that weighs any number of classes against each other.

After `models/lam.py`, `data/coco20i.py` and `data/transforms.py` of pasqualedem/LabelAnything
(ECAI 2025, arXiv 2407.02075).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor

from models.catalog import Card
from models.geometry import Geometry, Squash, nearest
from models.methods.label_anything.network import HINT, NAME, load_network
from models.methods.label_anything.prompts import PromptType
from models.segmenter import Features, Supports
from models.weights.pretrained import (
    OverNetwork,
    Pretrained,
    PretrainedOptions,
    chosen_weights,
    normalised,
)

_SIZE, _TINY_SIZE, _PATCH = 480, 64, 16
_MASK_SIDE = 256  # of the masks that the prompt encoder reads, whatever the images' side


class LabelAnythingOptions(PretrainedOptions):
    """Options of Label Anything."""

    image_size: PositiveInt | None = Field(
        default=None,
        description=f"side in pixels of the square that images are squashed to, a multiple of "
        f"{_PATCH}; by default {_SIZE}, or {_TINY_SIZE} where the weights are random",
    )
    prompt_type: PromptType = Field(
        default="mask",
        description="what the network is told of a support's mask: all of it, its tight box "
        "(bbox), or the pixel in its middle (point); with --prompt box or point, what a user drew",
    )

    @field_validator("image_size")
    @classmethod
    def _in_patches(cls, value: int | None) -> int | None:
        if value is not None and value % _PATCH:
            raise ValueError(f"{value} is no multiple of {_PATCH}")
        return value

    @property
    def side(self) -> int:
        """The side in pixels."""
        return self.image_size or (_SIZE if self.random is None else _TINY_SIZE)


@dataclass(frozen=True)
class SquashThrough(Squash):
    """A square whose masks keep no more than a coarser square's pixels.

    Attributes:
        coarse: side of that square, at most `size`; `coarsened` gives it back.
    """

    coarse: int = _MASK_SIDE

    def mask(self, mask: NDArray[np.uint8]) -> Tensor:
        """The mask by nearest neighbour through the coarser square: uint8, size×size."""
        return nearest(Squash(self.coarse).mask(mask), (self.size, self.size))

    def coarsened(self, masks: Tensor) -> Tensor:
        """The coarser masks, B×coarse×coarse, of B×size×size."""
        # The first pixel of each: nearest neighbour would take one before it.
        first = -(-torch.arange(self.coarse, device=masks.device) * self.size // self.coarse)
        return masks[:, first][:, :, first]


class LabelAnything(OverNetwork):
    """One embedding a class from its supports' prompts, one of the background from all supports.

    A class's embedding is the mean over its supports, the background's the mean over all supports.
    They look at the query and at each other, and each place of it goes to the one that it agrees
    with most. Nothing is trained for one number of classes.

    Masks are reduced to 256×256 pixels, as the authors do it. What differs: a support is told the
    prompts of its own class alone, not of other classes asked for that happen to be on it; a box
    is that of all objects together and a point the middle of them, where the authors prompt each
    object; and boxes and points are read beside the background alone, however many classes are
    asked for. A class without a prompt has an embedding of zeros. Of the authors' checkpoints, the
    one over SAM's encoder is not read.
    """

    Options = LabelAnythingOptions
    card = Card(
        title="Label Anything",
        summary="class embeddings from masks, boxes or points, any number of classes at once",
        source="https://arxiv.org/abs/2407.02075",
        year=2025,
        weights="the authors' checkpoints over ViT-MAE, on the hub: "
        "github.com/pasqualedem/LabelAnything",
        licence="code MIT; weights: none is given; ViT-MAE Apache-2.0 (as published, unverified)",
        training_data="base classes of the checkpoint's fold of COCO-20i (label_anything_mae_480_"
        "coco: all classes of COCO); ViT-MAE: images of ImageNet-1k, without labels",
        deviations="a support is told its own class's prompts alone, one box or point for all "
        "objects",
        sees_test_classes={"*": "unknown"},  # the checkpoint decides: see `weights.trained_on`
    )
    support_reads_pixels = False

    def __init__(self, pretrained: Pretrained, side: int, prompt_type: PromptType) -> None:
        super().__init__(pretrained, image_size=side, prompt_type=prompt_type)
        self.network = pretrained.network
        self.prompt_type = prompt_type
        self._side = side
        self._masks = SquashThrough(side, coarse=min(side, _MASK_SIDE))
        self.geometry: Geometry = self._masks if prompt_type == "mask" else Squash(side)
        self.dtype = next(self.network.parameters()).dtype
        self.image_key = f"{NAME}@{pretrained.key}:{self.dtype}"

    @classmethod
    def load(
        cls, options: LabelAnythingOptions, *, device: str = "cpu", dtype: str = "fp32"
    ) -> Self:
        """The model with the checkpoint that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        spec = chosen_weights(NAME, HINT, options.weights, options.random)
        pretrained = load_network(spec, device=device, dtype=dtype)
        return cls(pretrained, options.side, options.prompt_type)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `maps`: C×h×w."""
        maps = self.network.encode(normalised(images, next(self.network.parameters())))
        return [Features({"maps": each.clone()}) for each in maps]

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `embeddings` of background and class, 2×C, and whether it is `prompted`."""
        maps = torch.stack([feature["maps"] for feature in features])
        masks = masks.to(maps.device)
        if self.prompt_type == "mask":
            masks = self._masks.coarsened(masks)
        embeddings = self.network.embed(maps, masks, self.prompt_type)
        return [
            Features({"embeddings": pair.clone(), "prompted": mask.any()})
            for pair, mask in zip(embeddings, masks, strict=True)
        ]

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """The class's minus the background's logit, B×size×size."""
        logits = self.segment_classes(queries, [[shots] for shots in supports])
        return logits[:, 1] - logits[:, 0]

    @torch.no_grad()
    def segment_classes(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
    ) -> Tensor:
        """Logits of the background and of each class, B×(N+1)×size×size."""
        maps = torch.stack([query["maps"] for query in queries])
        classes = torch.stack([_averaged(each) for each in supports])
        logits = self.network.decode(maps, classes).float()
        return F.interpolate(logits, (self._side, self._side), mode="bilinear")


def _averaged(classes: Sequence[Sequence[Features]]) -> Tensor:
    """Embeddings of the background of all supports and of each class: (N+1)×C."""
    every = [shot["embeddings"][0] for shots in classes for shot in shots]
    means = [torch.stack(every).mean(0)]
    for shots in classes:
        prompted = torch.stack([shot["prompted"] for shot in shots])
        own = torch.stack([shot["embeddings"][1] for shot in shots]) * prompted[:, None]
        means.append(own.sum(0) / prompted.sum().clamp_min(1))
    return torch.stack(means)
