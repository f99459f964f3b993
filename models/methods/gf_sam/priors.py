"""How much the query's patches resemble the supports, and the points that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_POINTS = 128


@dataclass(frozen=True)
class Priors:
    """Mean and greatest cosine of each query patch with one kind of support patches, N each."""

    mean: Tensor
    best: Tensor


def directions(patches: Tensor) -> Tensor:
    """Patches for cosines.

    As the authors' code has it, each channel is first brought to unit length over the image, which
    evens out the channels.

    Args:
        patches: C×h×w.

    Returns:
        Unit rows, float32 h·w×C.
    """
    return F.normalize(F.normalize(patches.float().flatten(1), dim=1).T, dim=1)


def coarse_masks(mask: Tensor, side: int) -> Tensor:
    """A mask and its complement on the patches, stretched bilinearly with aligned corners.

    Each by itself: one minus the other would leave rounding where there must be nothing.

    Args:
        mask: float, H×W in {0, 1}.
        side: patches in a row.

    Returns:
        2×side² in 0..1.
    """
    both = torch.stack([mask, 1 - mask])[:, None]
    return F.interpolate(both, (side, side), mode="bilinear", align_corners=True).flatten(1)


def prior(cosines: Tensor, mask: Tensor) -> Priors:
    """Priors from one support.

    Args:
        cosines: of each support patch with each query patch, M×N.
        mask: how much each support patch counts, M in 0..1.
    """
    masked = cosines * mask[:, None]
    return Priors(masked.mean(0) / (mask.mean() + 1e-7), masked.amax(0))


def averaged(priors: Sequence[Priors]) -> Priors:
    """The average over shots."""
    return Priors(
        torch.stack([p.mean for p in priors]).mean(0), torch.stack([p.best for p in priors]).mean(0)
    )


def point_map(foreground: Priors, background: Priors) -> Tensor:
    """Foreground resemblance in 0..1, and 0 where the background resembles more: N."""
    cross = _unit_range(foreground.mean * foreground.best)
    return torch.where(_unit_range(background.mean) > cross, 0, cross)


def points(values: Tensor, side: int) -> Tensor:
    """The patches that prompt: as many of the greatest as the map's sum says, at most 128.

    Args:
        values: from `point_map`, side² of them.
        side: patches in a row.

    Returns:
        (x, y) of each in patches, column by column: int64 P×2; P is 0 only for a map of zeros.
    """
    total = float(values.sum())
    count = max(min(int(total), _MOST_POINTS), int(total > 0))
    order = values.sort(descending=True, stable=True).indices[:count]
    places = torch.stack([order % side, order // side], dim=1)
    return places[(places[:, 0] * side + places[:, 1]).argsort()]


def _unit_range(values: Tensor) -> Tensor:
    """Values brought to 0..1."""
    least = values.min()
    return (values - least) / (values.max() - least + 1e-6)
