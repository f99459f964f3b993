"""Attention of a query's places to the supports' masks, and a threshold on it."""

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST = 12  # of 255: lower values are left out of the histogram, the authors' 5%
_FLAT = 1e-4  # a spread below is rounding: the supports are all of one kind


def on_grid(masks: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Masks or maps, B×H×W, resized bilinearly to `size`."""
    return F.interpolate(masks[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def attended(query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
    """The share of foreground in what each place of the query attends to.

    Args:
        query: adapted maps, C×h×w.
        supports: K×C×h×w.
        masks: K×H×W.

    Returns:
        h×w in 0..1.
    """
    keys = supports.transpose(0, 1).flatten(1)
    weights = (query.flatten(1).T @ keys / len(query) ** 0.5).softmax(-1)
    share: Tensor = weights @ on_grid(masks, supports.shape[2:]).flatten()
    return share.view(query.shape[1:])


def threshold(scores: Tensor) -> float:
    """The greater of the mean and Otsu's threshold of the brighter part; 0.5 of a flat map.

    Args:
        scores: H×W in 0..1.
    """
    low, high = scores.amin(), scores.amax()
    if high - low < _FLAT:
        return 0.5
    levels = ((scores - low) / (high - low) * 255).byte().flatten()
    otsu = _otsu(torch.bincount(levels[levels >= _LEAST].long(), minlength=256).double().cpu())
    return max(otsu / 255 * float(high - low) + float(low), float(scores.mean()))


def _otsu(histogram: Tensor) -> int:
    """The first level up to which values differ most from those above (Otsu 1979); 0 if none."""
    values = torch.arange(len(histogram)).double()
    share = histogram / histogram.sum()
    below = share.cumsum(0)
    mass = (share * values).cumsum(0)
    between = (mass[-1] * below - mass).square() / (below * (1 - below))
    splits = (below > 1e-7) & (below < 1 - 1e-7)
    return int(torch.where(splits, between, 0).argmax())
