"""FSSDINO: clustered prototypes and second moments of frozen DINOv3 patches (arXiv 2602.07550)."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models.backbones.base import RANDOM, Backbone
from models.catalog import Card
from models.geometry import Geometry
from models.methods.patches import SEES_TEST_CLASSES, OverPatches, PatchOptions, backbone_of
from models.segmenter import BaseSegmenter, Features, Supports

KINDS = ("background", "foreground")  # in the order of the authors' classes
_TINY, _TINY_SIZE = {"backbone": "dinov3-tiny", "weights": RANDOM}, 64
_ABSENT = -2.0  # below every score of a kind that supports have
_ROUNDS = 100  # the authors set no limit; k-means by cosine with plain means need not settle
_SETTLED = 1e-4  # square of the summed lengths by which centres move


class FSSDINOOptions(PatchOptions):
    """Options of FSSDINO; the defaults are the authors'."""

    backbone: str = Field(
        default="dinov3-base", description="a name of models.backbones.BACKBONES; any works"
    )
    layer: str | None = Field(
        default=None,
        description='the layer to read, or several joined by "+"; by default prenorm of a DINO, '
        "what precedes its last norm, and the usual one of others",
    )
    size: PositiveInt = Field(
        default=512,
        description="side in pixels of the square that images are squashed to, rounded up to what "
        "the backbone needs",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="a random DINOv3 of this size in the backbone's place, for tests"
    )
    n_clusters: PositiveInt = Field(default=5, description="prototypes of each kind")


class FSSDINO(OverPatches, BaseSegmenter):
    """A pixel takes the kind, foreground or background, whose prototypes it resembles more.

    The supports' patches of a kind are clustered by cosine; the query's cosine with each of the
    centres is a map, and so is the energy of its patches under the kind's Gram matrix, brought to
    0..1. All are stretched to the image, and the greatest times the mean of a pixel is its score.

    This is the authors' `fss_eval.py` with two classes. What differs: images are squashed on every
    dataset (theirs of COCO are padded), the score is stretched to the original size and not the
    mask, the draw of the first centres is seeded by the episode, and k-means ends.

    Source: github.com/hussni0997/fssdino.
    """

    Options = FSSDINOOptions
    wants = frozenset({"seeds"})
    card = Card(
        title="FSSDINO",
        summary="clustered prototypes and Gram matrices of frozen DINOv3 patches, no training",
        source="https://arxiv.org/abs/2602.07550",
        year=2026,
        weights="facebook/dinov3-vitb16-pretrain-lvd1689m (gated)",
        licence="DINOv3 licence",
        training_data="LVD-1689M images, no labels",
        sees_test_classes=SEES_TEST_CLASSES,
    )

    def __init__(
        self, backbone: Backbone, geometry: Geometry, dtype: str, n_clusters: int = 5
    ) -> None:
        super().__init__(backbone, geometry, dtype)
        self.n_clusters = n_clusters
        self.config = {**self.config, "n_clusters": n_clusters}

    @classmethod
    def load(cls, options: FSSDINOOptions, *, device: str, dtype: str) -> Self:  # type: ignore[override]
        """FSSDINO over the backbone that `options` name.

        Raises:
            ModelError: for an unknown backbone or layer, weights that are missing, or `backbone`
                or `weights` beside `random`.
        """
        if options.asks_random("fssdino", "backbone", "weights"):
            size = options.size if "size" in options.model_fields_set else _TINY_SIZE
            options = options.model_copy(update={**_TINY, "size": size})
        if options.layer is None and options.backbone.startswith("dino"):
            options = options.model_copy(update={"layer": "prenorm"})
        backbone, geometry = backbone_of(options, device=device, dtype=dtype)
        return cls(backbone, geometry, dtype, options.n_clusters)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support the patches of each kind, `background` and `foreground`: n×C float32.

        A patch is what the mask is at its nearest pixel, so that a small object may have none.
        """
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            patches = feature["patches"].float()
            coarse = F.interpolate(mask[None, None], patches.shape[1:], mode="nearest").flatten()
            rows, inside = patches.flatten(1).T, coarse.to(patches.device) == 1
            encoded.append(Features({"background": rows[~inside], "foreground": rows[inside]}))
        return encoded

    def segment(
        self,
        queries: Sequence[Features],
        supports: Supports,
        seeds: Sequence[int] = (),
    ) -> Tensor:
        """Foreground's score minus background's: B×size×size, in -3..3."""
        scores = []
        for query, shots, seed in zip(queries, supports, seeds, strict=True):
            draw = np.random.RandomState(seed)
            background, foreground = (
                self._score(query["patches"].float(), torch.cat([s[kind] for s in shots]), draw)
                for kind in KINDS
            )
            scores.append(foreground - background)
        return torch.stack(scores)

    def _score(self, patches: Tensor, rows: Tensor, draw: np.random.RandomState) -> Tensor:
        """How much each pixel is of the kind of `rows` (n×C): H×W."""
        size = [side * self.backbone.stride for side in patches.shape[1:]]
        if not len(rows):
            return patches.new_full(size, _ABSENT)
        maps = similarity(patches, prototypes(rows, self.n_clusters, draw), rows)
        fine = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        score: Tensor = fine.amax(0) * fine.mean(0)
        return score


def similarity(patches: Tensor, centres: Tensor, rows: Tensor) -> Tensor:
    """The cosine of patches with each centre, and last their energy under the rows' Gram matrix.

    With G the mean of ffᵀ over unit rows f, a patch q has the energy qᵀGq: the mean of (f·q)².

    Args:
        patches: of a query, C×h×w.
        centres: m×C.
        rows: n×C.

    Returns:
        (m+1)×h×w, the last in 0..1.
    """
    flat = patches.flatten(1)
    cosines = F.normalize(centres, dim=1) @ F.normalize(flat, dim=0)
    energy = (F.normalize(rows, dim=1) @ flat).square().mean(0)
    energy = (energy - energy.min()) / (energy.max() - energy.min() + 1e-8)
    return torch.cat([cosines, energy[None]]).view(-1, *patches.shape[1:])


def prototypes(rows: Tensor, count: int, draw: np.random.RandomState) -> Tensor:
    """Centres of rows that are clustered by cosine: their plain means, count×C.

    Fewer rows than `count` are their own prototypes. A centre that loses all its rows moves to a
    random one.

    Args:
        rows: n×C.
        count: of clusters.
        draw: chooses the rows that are the first centres.
    """
    if len(rows) < count:
        return rows
    if count == 1:
        return rows.mean(0, keepdim=True)
    centres = rows[torch.from_numpy(draw.choice(len(rows), count, replace=False)).to(rows.device)]
    unit = F.normalize(rows, dim=1)
    for _ in range(_ROUNDS):
        nearest = (unit @ F.normalize(centres, dim=1).T).argmax(1)
        moved = torch.stack(
            [
                rows[nearest == index].mean(0)
                if (nearest == index).any()
                else rows[draw.randint(len(rows))]
                for index in range(count)
            ]
        )
        shift = (moved - centres).norm(dim=1).sum().square()
        centres = moved
        if shift < _SETTLED:
            break
    return centres
