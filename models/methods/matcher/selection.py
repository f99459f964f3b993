"""Scores of candidate masks, and which of them are merged."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.methods.matcher.settings import Settings
from models.methods.matcher.transport import Distances

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


def foreground_distances(cosines: Tensor, patches: Tensor) -> Distances:
    """Earth mover's distances of each mask's patches from the supports' foreground.

    Args:
        cosines: of foreground patches with query patches, F×h·w; (1 - cosine) / 2 is the cost.
        patches: of each mask, bool N×h·w.
    """
    return Distances(((1 - cosines) / 2).double().cpu().numpy(), patches.cpu().numpy())


def chosen(
    purity: Tensor, coverage: Tensor, transport: Callable[[Tensor], Distances], settings: Settings
) -> Tensor:
    """The candidates that are merged.

    Args:
        purity: of each candidate, N.
        coverage: the same.
        transport: gives the distances of some candidates, by their numbers. As they are costly, it
            is asked only about those that the filters leave, and only those that may be among the
            best are solved.
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
    # The spread is over the greatest distance, so that there all are needed.
    needed = settings.merged if settings.distance is None else len(left)
    values, order = ranked(transport(left), local, needed, settings)
    if settings.distance is None:
        kept = values > settings.share * values[0]
    else:
        distances = 1 - values
        near = distances < settings.distance
        near[0] = True
        kept = near & ((distances - distances[0]) / (distances[-1] + 1e-6) < settings.spread)
    return left[order[kept][: settings.merged]]


def ranked(
    distances: Distances, local: Tensor, needed: int, settings: Settings
) -> tuple[Tensor, Tensor]:
    """Scores in descending order, equal ones in order of the masks, and the masks' numbers.

    The first `needed` are exact; of the masks after them, whose distances may be bounds, each score
    is an upper bound. The most promising mask is solved next, until bounds rule out the rest.
    """
    while True:
        similarity = 1 - torch.from_numpy(distances.least).to(local.device)
        scores = settings.alpha * similarity + settings.beta * local
        values, order = scores.sort(descending=True, stable=True)
        unsolved = [index for index in order[:needed].tolist() if not distances.solved[index]]
        if not unsolved:
            return values, order
        distances.solve(unsolved[0])
