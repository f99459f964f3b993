"""DCAMA: a query's places attend to all supports' at many layers, and so to their masks."""

import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from models.backbones.resnet import ResNet
from models.catalog import Card
from models.errors import ModelError
from models.geometry import Geometry, SquashAs
from models.methods.hsnet.levels import LEVELS, Backbone, backbone_name, depths, widths
from models.methods.hsnet.network import TINY_SIZE, HSNetOptions, load_network
from models.segmenter import Features, Supports
from models.weights.pretrained import OverNetwork, Pretrained, normalised
from models.weights.source import tensor_digest

_SIZE, _HEADS, _PLACES = 384, 8, 10_000


class DCAMAOptions(HSNetOptions):
    """Options of DCAMA."""

    size: PositiveInt | None = Field(
        default=None,
        description="side in pixels of the square that images are squashed to, a multiple of 32 up "
        "to 800; "
        f"by default {_SIZE}, or {TINY_SIZE} where the weights are random",
    )

    @field_validator("size")
    @classmethod
    def _squeezes_evenly(cls, value: int | None) -> int | None:
        if value is not None and value % 32:
            raise ValueError(f"{value} is no multiple of 32")
        if value is not None and (value // 8) ** 2 > _PLACES:
            raise ValueError(f"{value} has more patches of 8×8 pixels than positions, {_PLACES:,}")
        return value

    @property
    def side(self) -> int:
        """The side in pixels."""
        return self.size or (_SIZE if self.random is None else TINY_SIZE)


class Attention(nn.Module):
    """Multi-head attention whose values are a mask: no projection of values or of the output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """n×C, m×C and m to n, the mean over the heads."""
        rows, columns = (
            linear(tokens).view(len(tokens), _HEADS, -1).transpose(0, 1)
            for linear, tokens in zip(self.linears, (query, keys), strict=True)
        )
        values = mask.to(rows)[None, :, None].expand(_HEADS, -1, 1)
        return F.scaled_dot_product_attention(rows, columns, values)[..., 0].mean(0)


class Position(nn.Module):
    """The sines and cosines of each place's number; every checkpoint holds them."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, width, 2) * -(math.log(10_000.0) / width))
        angles = torch.arange(_PLACES)[:, None] * rates
        self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[None])


def _block(channels: int, sizes: tuple[int, int, int], outs: tuple[int, int, int]) -> nn.Module:
    """Three convolutions of odd sizes, each with group norm and ReLU."""
    layers: list[nn.Module] = []
    for size, out in zip(sizes, outs, strict=True):
        layers += [nn.Conv2d(channels, out, size, padding=size // 2), nn.GroupNorm(4, out)]
        layers += [nn.ReLU()]
        channels = out
    return nn.Sequential(*layers)


def _mixer(*channels: int, last: bool = False) -> nn.Module:
    """Two 3×3 convolutions, each followed by ReLU but for the `last` one."""
    first, middle, out = channels
    layers = [nn.Conv2d(first, middle, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(middle, out, 3, padding=1), *([] if last else [nn.ReLU()])]
    return nn.Sequential(*layers)


class Aggregator(nn.Module):
    """The trained part, under the authors' names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        inner = widths(backbone)
        self.DCAMA_blocks = nn.ModuleList([Attention(width) for width in inner])
        self.pe = nn.ModuleList([Position(width) for width in inner])
        level2, level3, level4 = depths(backbone)
        self.conv1 = _block(level4, (3, 3, 3), (16, 64, 128))
        self.conv2 = _block(level3, (5, 3, 3), (16, 64, 128))
        self.conv3 = _block(level2, (5, 5, 3), (16, 64, 128))
        self.conv4 = _block(128, (3, 3, 3), (128, 128, 128))
        self.conv5 = _block(128, (3, 3, 3), (128, 128, 128))
        self.mixer1 = _mixer(128 + 2 * inner[0] + inner[0], 128, 64)  # stage 1 is half as wide
        self.mixer2 = _mixer(64, 64, 16)
        self.mixer3 = _mixer(16, 16, 2, last=True)

    def forward(self, query: Features, supports: Sequence[Features]) -> Tensor:
        """Background's and foreground's logits: 2×H×W."""
        coarse4, coarse3, coarse2 = (
            conv(self._attended(index, query, supports)[None])
            for conv, index in ((self.conv1, 2), (self.conv2, 1), (self.conv3, 0))
        )
        mix = self.conv4(_resized(coarse4, coarse3.shape[-2:]) + coarse3)
        mix = self.conv5(_resized(mix, coarse2.shape[-2:]) + coarse2)
        mix = _beside(mix, query["level2"][-1], [shot["level2"][-1] for shot in supports])
        mix = _beside(_doubled(mix), query["level1"], [shot["level1"] for shot in supports])
        mix = self.mixer2(_doubled(self.mixer1(mix)))
        logits: Tensor = self.mixer3(_doubled(mix))[0]
        return logits

    def _attended(self, index: int, query: Features, supports: Sequence[Features]) -> Tensor:
        """For each map of a level, the mask that the query's places attend to: L×h×w."""
        name = LEVELS[index]
        size = query[name].shape[-2:]
        mask = torch.cat([_resized(s["mask"][None, None], size).flatten() for s in supports])
        position = self.pe[index].get_buffer("pe")[0, : size.numel()]
        attended = []
        for number, maps in enumerate(query[name]):
            rows = maps.flatten(1).T + position
            keys = torch.cat([s[name][number].flatten(1).T + position for s in supports])
            attended.append(self.DCAMA_blocks[index](rows, keys, mask).view(size))
        return torch.stack(attended)


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)


def _doubled(maps: Tensor) -> Tensor:
    return _resized(maps, (2 * maps.shape[-2], 2 * maps.shape[-1]))


def _beside(mix: Tensor, query: Tensor, supports: Sequence[Tensor]) -> Tensor:
    """`mix` with the query's map and the greatest of the supports' along the channels."""
    return torch.cat([mix, query[None], torch.stack(list(supports)).amax(0)[None]], dim=1)


class DCAMANetwork(nn.Module):
    """The modules of DCAMA under the authors' names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if not isinstance(backbone, ResNet):
            raise ModelError("dcama has no VGG-16: use a checkpoint of ResNet-50 or ResNet-101")
        self.feature_extractor = backbone
        self.model = Aggregator(backbone)


class DCAMA(OverNetwork):
    """Attention of the query to all pixels of all supports, masks as values, at 13 layers.

    Several supports are attended to at once, as the authors do it: nothing votes. Their Swin
    variant is not here. The mask is theirs to the pixel on the model's own 384×384 grid.

    Source: ECCV 2022, arXiv 2207.08549; github.com/pawn-sxy/DCAMA.
    """

    Options = DCAMAOptions
    support_reads_pixels = False
    card = Card(
        title="DCAMA",
        summary="attention to all supports' pixels, masks as values, at many layers; strict",
        source="https://arxiv.org/abs/2207.08549",
        year=2022,
        weights="the authors' checkpoints, one per fold: github.com/pawn-sxy/DCAMA",
        licence="no LICENSE file in the repository",
        training_data="base classes of the checkpoint's own dataset and fold; ImageNet-1k labels",
        sees_test_classes={"*": "unknown"},  # the checkpoint decides: see `weights.trained_on`
    )

    def __init__(self, pretrained: Pretrained, side: int) -> None:
        self.network = pretrained.network
        backbone = self.network.feature_extractor
        super().__init__(pretrained, backbone=backbone_name(backbone), size=side)
        self.geometry: Geometry = SquashAs(side, back="corners")
        self.dtype = next(self.network.parameters()).dtype
        self.image_key: str | None = f"dcama@{tensor_digest(backbone)[:16]}:{self.dtype}"

    @classmethod
    def load(cls, options: DCAMAOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """The model with the checkpoint that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        where = "a resnet50 checkpoint from the folder that github.com/pawn-sxy/DCAMA links"
        pretrained = load_network(
            "dcama", DCAMANetwork, options, where=where, device=device, dtype=dtype
        )
        return cls(pretrained, options.side)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image `level1`, the first stage's C×h×w, and all maps of the others, L×C×h×w."""
        backbone = self.network.feature_extractor
        images = normalised(images, next(backbone.parameters()))
        first, *levels = backbone.stages(images)
        stacked = [torch.stack(level, dim=1) for level in levels]
        return [
            Features(
                {"level1": first[-1][index].clone()}
                | {name: maps[index].clone() for name, maps in zip(LEVELS, stacked, strict=True)}
            )
            for index in range(len(images))
        ]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, its image's maps and the `mask`, H×W."""
        return [
            Features({**feature.tensors, "mask": mask.to(feature["level1"]).clone()})
            for mask, feature in zip(masks, features, strict=True)
        ]

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Foreground minus background logit, B×size×size."""
        logits = [
            self.network.model(query, shots).float()
            for query, shots in zip(queries, supports, strict=True)
        ]
        return torch.stack([foreground - background for background, foreground in logits])
