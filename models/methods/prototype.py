"""Masked-average prototypes and cosine similarity, after PANet (Wang et al., ICCV 2019)."""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import Card
from models.methods.patches import SEES_TEST_CLASSES, OverPatches, likeliest
from models.segmenter import BaseSegmenter, Features, Supports

_TEMPERATURE = 20.0  # PANet's scaler of the cosine


class Prototype(OverPatches, BaseSegmenter):
    """One foreground and one background prototype; each query patch takes the nearer.

    PANet's formulas (`models/fewshot.py` in kaixin96/PANet): features are stretched to the mask's
    size, averaged under the mask and under its complement, and the prototypes of the K shots are
    averaged; a patch scores 20 × cosine with each, the two maps are stretched bilinearly, and the
    larger wins. What differs: the backbone is frozen instead of trained end to end with PANet's
    alignment loss, it is by default another network at another stride, and the background of a
    support is all that is not its class. A support without foreground adds a zero vector to the
    average, which leaves its direction alone.
    """

    card = Card(
        title="Prototype",
        summary="masked average prototypes of a frozen backbone, cosine, no training",
        source="https://arxiv.org/abs/1908.06391",
        year=2019,
        weights="efficientnet-lite0 or another backbone's",
        licence="the backbone's",
        training_data="the backbone's",
        sees_test_classes=SEES_TEST_CLASSES,
    )

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `prototypes`: foreground and background, 2×C float32."""
        patches = torch.stack([feature["patches"] for feature in features]).float()
        masks = masks.to(patches.device)
        both = torch.stack([masks, 1 - masks], dim=1)
        sums = torch.einsum("bchw,bmhw->bmc", patches, stretch_adjoint(both, patches.shape[-2:]))
        prototypes = sums / (both.sum((2, 3))[..., None] + 1e-5)
        return [Features({"prototypes": pair.clone()}) for pair in prototypes]

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """20 × (cosine with foreground - cosine with background): B×h×w, in -40..40."""
        foreground, background = F.normalize(_means(supports), dim=2, eps=1e-8).unbind(1)
        # cos(f, p) - cos(f, q) = f·(p/|p| - q/|q|) / |f|, so one product does for both.
        return _cosines(queries, (foreground - background)[:, None])[:, 0]

    def presence(self, queries: Sequence[Features], supports: Supports, scores: Tensor) -> Tensor:
        """The score of the likeliest patch of each query."""
        return likeliest(scores)

    def segment_classes(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
    ) -> Tensor:
        """20 × cosine with the background of all classes' supports and with each: B×(N+1)×h×w."""
        prototypes = torch.stack([_means(classes) for classes in supports])
        background = prototypes[:, :, 1].mean(1, keepdim=True)
        every = torch.cat([background, prototypes[:, :, 0]], dim=1)
        return _cosines(queries, F.normalize(every, dim=2, eps=1e-8))


def _means(supports: Supports) -> Tensor:
    """The prototypes of each row of K supports, averaged: B×2×C."""
    return torch.stack(
        [torch.stack([shot["prototypes"] for shot in shots]).mean(0) for shots in supports]
    )


def _cosines(queries: Sequence[Features], directions: Tensor) -> Tensor:
    """20 × the product of each unit patch with each of B×N×C directions: B×N×h×w."""
    patches = torch.stack([query["patches"] for query in queries]).float()
    products = torch.einsum("bchw,bnc->bnhw", patches, directions)
    scores: Tensor = _TEMPERATURE * products / patches.norm(dim=1, keepdim=True).clamp_min(1e-8)
    return scores


def stretch_adjoint(masks: Tensor, grid: torch.Size) -> Tensor:
    """The weights on a coarse grid that make masked sums there equal to those after stretching.

    With U the bilinear stretch from h×w to H×W, sum(U(f)·m) = sum(f·Uᵀ(m)): no feature map of the
    mask's size is ever made.

    Args:
        masks: float, ...×H×W.
        grid: h, w.

    Returns:
        ...×h×w.
    """
    rows = _stretch_matrix(grid[0], masks.shape[-2], masks.device)
    columns = _stretch_matrix(grid[1], masks.shape[-1], masks.device)
    return rows @ masks @ columns.T


@functools.lru_cache(maxsize=64)
def _stretch_matrix(coarse: int, fine: int, device: torch.device) -> Tensor:
    """Bilinear weight of each coarse position in each fine one: coarse×fine float32."""
    positions = torch.eye(coarse, device=device)[None]
    return F.interpolate(positions, size=fine, mode="linear", align_corners=False)[0]
