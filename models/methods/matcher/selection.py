"""Scores of candidate masks, and which of them are merged."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.methods.matcher.settings import Settings
from models.methods.matcher.transport import earth_movers_distance

_LITTLE = 1e-6  # what the authors add to purity and coverage


def coarse(masks: Tensor, patch: int) -> Tensor:
    """Patches that bool N×H×W masks touch (all of them for an empty mask): bool N×h·w."""
    height, width = (side // patch for side in masks.shape[1:])
    cells = masks.reshape(len(masks), height, patch, width, patch)
    touched = cells.any(4).any(2).flatten(1)
    return touched | ~touched.any(1, keepdim=True)


def purity_and_coverage(masks: Tensor, patches: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """How dense matched points are in each mask, and how many of them it has.

    Args:
        masks: bool N×H×W.
        patches: of these, bool N×h·w.
        points: (x, y) of the matched points, int64 P×2.

    Returns:
        Points in the mask per patch of it, and per matched point: N each.
    """
    inside = masks[:, points[:, 1], points[:, 0]].sum(1)
    return inside / patches.sum(1) + _LITTLE, inside / len(points) + _LITTLE


def similarities(cosines: Tensor, patches: Tensor) -> Tensor:
    """1 - the earth mover's distance of each mask's patches from the supports' foreground.

    Args:
        cosines: of foreground patches with query patches, F×h·w; (1 - cosine) / 2 is the cost.
        patches: of each mask, bool N×h·w.

    Returns:
        float64, N.
    """
    cost = ((1 - cosines) / 2).double().cpu().numpy()
    different, inverse = torch.unique(patches, dim=0, return_inverse=True)
    distances = [earth_movers_distance(cost[:, own]) for own in different.cpu().numpy()]
    return 1 - torch.tensor(distances, dtype=torch.double, device=patches.device)[inverse]


def chosen(
    purity: Tensor, coverage: Tensor, similarity: Callable[[Tensor], Tensor], settings: Settings
) -> Tensor:
    """The candidates that are merged.

    Args:
        purity: of each candidate, N.
        coverage: the same.
        similarity: gives that of some candidates, by their numbers; costly, so asked for those
            alone that are left by the filters.
        settings: how to filter, score and choose.

    Returns:
        Their numbers; none only if N is 0.
    """
    left = torch.arange(len(purity), device=purity.device)
    for values, least in ((coverage, settings.coverage), (purity, settings.purity)):
        if least > 0 and len(left):
            own = values[left]
            left = left[own >= own.max().clamp_max(least)]
    if len(left) == 0:
        return left
    local = purity[left] * coverage[left] ** settings.exponent
    scores = settings.alpha * similarity(left) + settings.beta * local
    values, order = scores.sort(descending=True, stable=True)
    if settings.distance is None:
        kept = values > settings.share * values[0]
    else:
        distances = 1 - values
        near = distances < settings.distance
        near[0] = True
        kept = near & ((distances - distances[0]) / (distances[-1] + 1e-6) < settings.spread)
    return left[order[kept][: settings.merged]]
