"""HSNet as a `Segmenter`, and what PATNet has in common with it."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.catalog import Card
from models.geometry import Geometry, SquashAs
from models.methods.hsnet.correlation import Comparison, Cosine, correlate
from models.methods.hsnet.levels import LEVELS, backbone_name, read_levels
from models.methods.hsnet.network import HSNetOptions, HSNetwork, load_network
from models.methods.hsnet.voting import combine
from models.segmenter import Features, Supports
from models.weights.pretrained import OverNetwork, Pretrained, normalised
from models.weights.source import tensor_digest


class OverLevels(OverNetwork):
    """The parts of the contract in which HSNet and PATNet agree.

    A pair of query and support is compared at a time, so that memory does not depend on the number
    of shots or the batch: the finest level's correlations alone are 100 MB at 400×400.

    Args:
        pretrained: a network with `backbone` and `hpn_learner`, with its origin.
        side: of the square that images are squashed to.

    Attributes:
        name: the model's name, for messages.
        where: where checkpoints come from, for the message when there is none.
        build: makes the bare network over a bare backbone.
    """

    Options = HSNetOptions
    support_reads_pixels = False
    name: ClassVar[str]
    where: ClassVar[str]
    build: ClassVar[type[nn.Module]]

    def __init__(self, pretrained: Pretrained, side: int) -> None:
        self.network = pretrained.network
        super().__init__(pretrained, backbone=backbone_name(self.network.backbone), size=side)
        self.comparison = self.compare()
        self.side = side
        self.geometry: Geometry = SquashAs(side, back="corners")
        # The backbone is frozen in training: checkpoints of all folds share its features.
        backbone = tensor_digest(self.network.backbone)
        dtype = next(self.network.parameters()).dtype
        self.image_key: str | None = f"levels@{backbone[:16]}:{dtype}"

    def compare(self) -> Comparison:
        """How a query's maps meet a support's."""
        return Cosine()

    @classmethod
    def load(cls, options: HSNetOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """The model with the checkpoint that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        pretrained = load_network(
            cls.name, cls.build, options, where=cls.where, device=device, dtype=dtype
        )
        return cls(pretrained, options.side)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image the maps of each level, L×C×h×w: at 400×400 40 MB of ResNet-50 in float32."""
        backbone = self.network.backbone
        levels = read_levels(backbone, normalised(images, next(backbone.parameters())))
        # Cloned, for a view would keep the whole batch alive.
        return [
            Features({name: maps.clone() for name, maps in zip(LEVELS, own, strict=True)})
            for own in zip(*levels, strict=True)
        ]

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support and level, what the comparison keeps: `level2.vectors` and so on."""
        encoded = []
        for feature, mask in zip(features, masks, strict=True):
            kept: dict[str, Tensor] = {}
            for index, level in enumerate(LEVELS):
                part = self.comparison.support(index, feature[level], mask)
                kept |= {f"{level}.{name}": tensor for name, tensor in part.items()}
            encoded.append(Features(kept))
        return encoded

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Per query, B×size×size: the margin of one support, or the vote of several."""
        return torch.stack(
            [
                combine(torch.stack([self._margin(query, support) for support in shots]))
                for query, shots in zip(queries, supports, strict=True)
            ]
        )

    def _margin(self, query: Features, support: Features) -> Tensor:
        """Foreground minus background logit of one query from one support: size×size float32."""
        correlations = []
        for index, level in enumerate(LEVELS):
            maps, kept = query[level], _part(support, level)
            vectors = self.comparison.query(index, maps, kept)
            grid = (maps.shape[2], maps.shape[3])
            correlation = correlate(vectors, kept["vectors"], kept["inside"], grid)
            correlations.append(correlation[None].to(maps.dtype))
        logits = self.network.hpn_learner(correlations).float()
        size = (self.side, self.side)
        background, foreground = F.interpolate(logits, size, mode="bilinear", align_corners=True)[0]
        margin: Tensor = foreground - background
        return margin


def _part(support: Features, level: str) -> dict[str, Tensor]:
    """A support's tensors of one level, by their name there."""
    start = f"{level}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in support.tensors.items()
        if name.startswith(start)
    }


class HSNet(OverLevels):
    """Squeezes the 4D correlations of many layers of a frozen backbone into a mask.

    With one support the mask is the authors' to the pixel on the model's own 400×400 grid, with
    several it is their vote. What differs on another grid is in the card; of the protocols, HSNet's
    own is at 400×400.

    The 4D convolution has no memory of the first size it met (theirs has, and fails on another).

    Source: arXiv 2104.01538; github.com/juhongm999/hsnet.
    """

    name = "hsnet"
    where = "a best_model.pt from the folders that github.com/juhongm999/hsnet#testing links"
    build = HSNetwork
    card = Card(
        title="HSNet",
        summary="4D convolutions over the correlations of a frozen backbone's layers; strict",
        source="https://arxiv.org/abs/2104.01538",
        year=2021,
        weights="the authors' best_model.pt, one per fold: github.com/juhongm999/hsnet",
        licence="no LICENSE file in the repository",
        training_data="base classes of the checkpoint's own dataset and fold; ImageNet-1k labels",
        deviations="on any grid but the model's own the authors (use_original_imgsize) stretch "
        "each support's small logits, which then vote; here the vote is stretched, corners aligned",
        sees_test_classes={"*": "unknown"},  # the checkpoint decides: see `weights.trained_on`
    )
