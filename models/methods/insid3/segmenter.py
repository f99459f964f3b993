"""INSID3 as a `Segmenter`."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models.backbones.base import RANDOM, Backbone, load_backbone
from models.catalog import Card, Options, Tiny
from models.geometry import Squash
from models.methods.insid3.candidates import backward_candidates, coarse_mask, forward_candidates
from models.methods.insid3.clusters import aggregated, clusters
from models.methods.insid3.debias import components, debiased, positional_basis
from models.methods.patches import SEES_TEST_CLASSES, OverPatches, unit_rows
from models.segmenter import BaseSegmenter, Features, Supports

_SIZE, _TINY_SIZE = 1024, 128


class INSID3Options(Options):
    """Options of INSID3; the defaults are the authors'."""

    backbone: Literal["dinov3-large", "dinov3-base", "dinov3-small"] = Field(
        default="dinov3-large", description="which DINOv3"
    )
    weights: str | None = Field(
        default=None,
        description="a folder or a hub id owner/name[@revision]; by default the published, gated "
        "weights of the backbone",
    )
    layer: str = Field(
        default="norm", description="norm, prenorm, or a block's output, as block9 or block9-norm"
    )
    random: Tiny = None
    size: int | None = Field(
        default=None,
        ge=32,
        description="side in pixels of the square that images are squashed to, rounded up to a "
        f"multiple of the patch; by default {_SIZE}, for random=tiny {_TINY_SIZE}",
    )
    tau: float = Field(default=0.6, ge=-1, le=1, description="mean cosine within a cluster")
    merge: float = Field(default=0.2, description="score above which a cluster is foreground")
    svd_components: PositiveInt | None = Field(
        default=None,
        description="directions taken as positional; by default 500 of DINOv3-large and the same "
        "share of narrower ones, of which the authors take 500 too",
    )


class INSID3(OverPatches, BaseSegmenter):
    """Cluster the query's patches, seed with the one most like the supports, and grow.

    Supports and query are compared in features without their positional part, the query's own
    patches in the original ones. Up to the coarse mask this is the authors' `predict_mask` (without
    its optional CRF). What differs: of narrower networks than ViT-L fewer directions are taken as
    positional, in proportion, if not told otherwise (`svd_components=500`, the authors' of every
    size); the coarse mask is stretched to the image at once and not first to
    the grid; a support without foreground, which the authors' code cannot take, has no vote, and
    where all are such the prediction is empty.

    Clustering belongs to the query alone, but is left to `segment`: features so are those that
    other models on the same backbone share, and no support is clustered in vain.

    Source: arXiv 2603.28480; visinf/INSID3 (Apache-2.0).

    Args:
        backbone: a DINOv3.
        geometry: a square of a multiple of its patch.
        dtype: the backbone's, by its short name.
        tau: see `clusters`.
        merge: see `aggregated`.
        svd_components: directions taken as positional; None for a share of the backbone's width.
    """

    Options = INSID3Options  # type: ignore[assignment]
    card = Card(
        title="INSID3",
        summary="clusters of debiased DINOv3 patches grown from the best match, no training",
        source="https://arxiv.org/abs/2603.28480",
        year=2026,
        weights="facebook/dinov3-vitl16-pretrain-lvd1689m (gated)",
        licence="DINOv3 licence",
        training_data="LVD-1689M images, no labels",
        sees_test_classes=SEES_TEST_CLASSES,
    )

    def __init__(
        self,
        backbone: Backbone,
        geometry: Squash,
        dtype: str,
        tau: float = 0.6,
        merge: float = 0.2,
        svd_components: int | None = None,
    ) -> None:
        super().__init__(backbone, geometry, dtype)
        self.tau, self.merge = tau, merge
        self.components = svd_components or components(backbone.channels)
        self.config = {
            **self.config,
            "tau": tau,
            "merge": merge,
            "components": self.components,
        }
        self._bases: dict[torch.Size, Tensor] = {}

    @classmethod
    def load(cls, options: INSID3Options, *, device: str, dtype: str) -> Self:  # type: ignore[override]
        """INSID3 over the DINOv3 that `options` name.

        Raises:
            ModelError: for weights that are missing or do not fit, or `backbone` or `weights`
                beside `random`.
        """
        tiny = options.asks_random("insid3", "backbone", "weights")
        backbone = load_backbone(
            "dinov3-tiny" if tiny else options.backbone,
            RANDOM if tiny else options.weights,
            options.layer,
            device=device,
            dtype=dtype,
        )
        size = options.size or (_TINY_SIZE if tiny else _SIZE)
        multiple = backbone.multiple
        geometry = Squash(-(-size // multiple) * multiple)
        given = (options.tau, options.merge, options.svd_components)
        return cls(backbone, geometry, dtype, *given)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `rows` (debiased, N×C), `foreground` (bool N), `prototype` (mean row, C)."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            patches = feature["patches"]
            foreground = coarse_mask(mask, patches.shape[-2:]).flatten().to(patches.device)
            rows = debiased(unit_rows(patches), self._basis(patches))
            prototype = rows.T @ foreground.float() / foreground.sum().clamp_min(1)
            encoded.append(
                Features({"rows": rows, "foreground": foreground, "prototype": prototype})
            )
        return encoded

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Half a point above 0 for foreground patches and below for others: B×h×w."""
        return torch.stack(
            [self._segment(query, shots) for query, shots in zip(queries, supports, strict=True)]
        )

    def _segment(self, query: Features, shots: Sequence[Features]) -> Tensor:
        """Scores of one query: h×w."""
        patches = query["patches"]
        shots = [shot for shot in shots if shot["foreground"].any()]
        chosen = torch.zeros(patches[0].numel(), dtype=torch.bool, device=patches.device)
        if shots:
            original = unit_rows(patches)
            rows = debiased(original, self._basis(patches))
            prototype = F.normalize(torch.stack([s["prototype"] for s in shots]).mean(0), dim=0)
            candidates = forward_candidates(rows @ prototype) & backward_candidates(
                rows, [shot["rows"] for shot in shots], [shot["foreground"] for shot in shots]
            )
            if candidates.any():
                labels = clusters(original, self.tau)
                chosen = aggregated(labels, candidates, prototype, original, rows, self.merge)
        return chosen.view(patches.shape[-2:]).float() - 0.5

    def _basis(self, patches: Tensor) -> Tensor:
        """The positional directions on the grid of `patches`, found once per grid."""
        grid = patches.shape[-2:]
        if grid not in self._bases:
            height, width = (side * self.backbone.stride for side in grid)
            black = self.backbone.features(patches.new_zeros(1, 3, height, width).float())[0]
            self._bases[grid] = positional_basis(black, self.components)
        return self._bases[grid]
