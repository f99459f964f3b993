"""Which patches of the query may show the supports' object."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def coarse_mask(mask: Tensor, grid: torch.Size) -> Tensor:
    """A support mask on the patches.

    A patch is foreground if the mask stretched bilinearly to the grid is above a half there. Of a
    mask lost that way, the nearest pixels are read, and of one that is still lost, the patch of its
    centroid is taken.

    Args:
        mask: float, H×W in {0, 1}.
        grid: h and w.

    Returns:
        Bool, h×w: all False only for an empty mask.
    """
    size = (grid[0], grid[1])
    coarse = F.interpolate(mask[None, None], size, mode="bilinear", align_corners=False) > 0.5
    if not coarse.any():
        coarse = F.interpolate(mask[None, None], size, mode="nearest") > 0.5
    if mask.any() and not coarse.any():
        row, column = mask.nonzero().float().mean(0).tolist()
        coarse[0, 0, int(row * size[0] / mask.shape[0]), int(column * size[1] / mask.shape[1])] = 1
    return coarse[0, 0]


def forward_candidates(similarity: Tensor) -> Tensor:
    """Patches that resemble the prototype: above 0, or else above the 90th percentile.

    Args:
        similarity: cosine of each query patch with the prototype, N.

    Returns:
        Bool, N.
    """
    positive = similarity > 0
    return positive if positive.any() else similarity > torch.quantile(similarity, 0.9)


def backward_candidates(
    query: Tensor, references: Sequence[Tensor], foregrounds: Sequence[Tensor]
) -> Tensor:
    """Patches whose nearest patch is foreground in at least half of the supports.

    Args:
        query: unit rows, N×C.
        references: unit rows of each support, M×C.
        foregrounds: which of these are foreground, bool M.

    Returns:
        Bool, N.
    """
    votes = torch.zeros(len(query), dtype=torch.long, device=query.device)
    for rows, foreground in zip(references, foregrounds, strict=True):
        votes += foreground[(query @ rows.T).argmax(1)]
    return 2 * votes >= len(references)
