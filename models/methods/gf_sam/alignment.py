"""Positive-negative alignment: masks are taken while they bring more foreground than background."""

import torch
from torch import Tensor

from models.methods.gf_sam.graph import unions


def aligned(masks: Tensor, labels: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Grow each cluster from its best mask.

    In float32 and without a margin, as the authors have it: of a mask that repeats another, what
    rounding leaves of its soft border (1e-8 to 1e-6 patches) decides.

    Args:
        masks: on the patches, P×N in 0..1.
        labels: cluster of each, P.
        gain: how much more foreground than background each patch is, N; patches above 0 are
            positive.

    Returns:
        Which masks are taken, bool P, and each one's cluster's score: by how much the last mask
        that was tried there had more positive than negative area of its own, P.
    """
    masks, positive = masks.float(), (gain > 0).float()
    taken = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    scores = masks.new_zeros(len(masks))
    means = (masks * gain).sum(1) / (masks.sum(1) + 1e-6)
    for cluster in range(int(labels.max()) + 1):
        members = (labels == cluster).nonzero().flatten()
        covered = torch.zeros_like(positive)
        surplus = masks.new_zeros(())
        for index in members[means[members].sort(descending=True, stable=True).indices]:
            new = masks[index] * (1 - covered)
            foreground, background = (positive * new).sum(), ((1 - positive) * new).sum()
            surplus = foreground - background
            if foreground > background:
                covered = covered + new
                taken[index] = True
        scores[members] = surplus
    return taken, scores


def merged(masks: Tensor, taken: Tensor, consistent: Tensor, scores: Tensor) -> Tensor:
    """The union of the masks that are both taken and consistent.

    If that is empty, the mask of greatest score among those that are one of the two (as in the
    authors' code all others score 0 then, and the first of equals wins).

    Args:
        masks: bool P×H×W, P at least 1.
        taken: bool P.
        consistent: bool P.
        scores: P.

    Returns:
        Bool, H×W.
    """
    both = (taken & consistent).long()
    if both.any():
        union = unions(masks, both)[1]
        if union.any():
            return union
    return masks[int(torch.where(taken ^ consistent, scores, 0).argmax())]
