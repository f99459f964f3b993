"""Nearest foreground against nearest background patch: dense matching without training."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbones.base import unit
from models.catalog import Card
from models.methods.patches import SEES_TEST_CLASSES, OverPatches, likeliest
from models.segmenter import BaseSegmenter, Features, Supports


class DenseNN(OverPatches, BaseSegmenter):
    """A query patch is foreground if its nearest support patch by cosine is.

    A support patch is foreground where the mask covers more than half of it; of a mask that
    covers no patch so far, the most covered patch is (so of objects smaller than a patch). The
    patches of the K supports are united. A query patch scores the cosine of its nearest foreground
    patch minus that of its nearest background patch; where supports have none of a kind, the least
    cosine, -1, stands in.
    """

    card = Card(
        title="Dense nearest neighbour",
        summary="nearest foreground against nearest background patch of a frozen backbone",
        weights="efficientnet-lite0 or another backbone's",
        licence="the backbone's",
        training_data="the backbone's",
        sees_test_classes=SEES_TEST_CLASSES,
    )

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, the unit patches of each kind: `foreground` N×C and `background` M×C."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            patches = _unit_rows(feature["patches"])
            chosen = foreground_patches(mask, feature["patches"].shape[-2:]).to(patches.device)
            encoded.append(
                Features({"foreground": patches[chosen], "background": patches[~chosen]})
            )
        return encoded

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Nearest foreground cosine minus nearest background cosine: B×h×w, in -2..2.

        Episodes go one by one: their patch counts differ, and padding them to one product costs
        more than it saves.
        """
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            patches = query["patches"]
            rows = _unit_rows(patches)
            score = _nearest(rows, shots, "foreground") - _nearest(rows, shots, "background")
            scores.append(score.view(patches.shape[-2:]))
        return torch.stack(scores).float()

    def presence(self, queries: Sequence[Features], supports: Supports, scores: Tensor) -> Tensor:
        """The score of the likeliest patch of each query."""
        return likeliest(scores)


def foreground_patches(mask: Tensor, grid: torch.Size) -> Tensor:
    """Which patches of a support are foreground.

    Args:
        mask: float, H×W in {0, 1}.
        grid: patches in a column and in a row, h and w.

    Returns:
        Bool, h·w in row order: all False only for an empty mask.
    """
    share = F.adaptive_avg_pool2d(mask[None], (grid[0], grid[1])).flatten()
    covered = share > 0.5
    if not covered.any() and share.any():
        covered[share.argmax()] = True
    return covered


def _unit_rows(patches: Tensor) -> Tensor:
    """C×h×w patches as h·w rows of unit length."""
    return unit(patches.flatten(1).T.contiguous())


def _nearest(rows: Tensor, shots: Sequence[Features], kind: str) -> Tensor:
    """The greatest cosine of each row with the patches of one kind, -1 where there are none."""
    best = rows.new_full((len(rows),), -1.0)
    # Shot by shot: the products stay in the processor's cache, and no patches are copied.
    for patches in (shot[kind] for shot in shots):
        if len(patches):
            best = torch.maximum(best, (rows @ patches.T).amax(1))
    return best
