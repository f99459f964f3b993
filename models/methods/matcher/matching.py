"""Bidirectional matching: query patches whose best partners lie on the supports' object."""

import torch
import torch.nn.functional as F
from torch import Tensor

_ALL_KEPT = 40  # of more matches the better half is kept


def foreground_patches(mask: Tensor, patch: int) -> Tensor:
    """Patches that a float H×W mask touches: bool, in row order."""
    return F.max_pool2d(mask[None], patch).flatten() > 0


def matches(cosines: Tensor, foreground: Tensor) -> Tensor:
    """Query patches that match the foreground, as `patch_level_matching` finds them.

    Foreground patches are assigned to query patches for the greatest sum of cosines, and these to
    support patches in turn; of the first pairs those remain whose query patch is sent back to the
    foreground (all, if there are none), and of more than 40 the better half.

    Args:
        cosines: of the patches of all supports with those of the query, M×N.
        foreground: bool M, at least one True.

    Returns:
        Numbers of query patches, ascending, without repetition.
    """
    rows, columns = assigned(cosines[foreground])
    _, partners = assigned(cosines.T[columns])
    returned = foreground[partners]
    if returned.any():
        rows, columns = rows[returned], columns[returned]
    if len(columns) > _ALL_KEPT:
        own = cosines[foreground][rows, columns]
        columns = columns[own.sort(descending=True, stable=True).indices[: len(columns) // 2]]
    return columns.sort().values


def assigned(values: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of a row and a column, each used once, with the greatest sum of R×C values.

    Returns:
        The min(R, C) rows, ascending, and their columns.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(values.cpu().numpy(), maximize=True)
    return torch.from_numpy(rows).to(values.device), torch.from_numpy(columns).to(values.device)
