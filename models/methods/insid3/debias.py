"""Taking the position out of DINOv3's features, as `models/insid3.py` in visinf/INSID3 does."""

import torch
import torch.nn.functional as F
from torch import Tensor

# The authors' 500 of ViT-L's 1024 directions; of narrower networks the same share.
_SHARE = 500 / 1024


def components(channels: int) -> int:
    """How many directions of a feature space of this width are taken as positional."""
    return max(1, round(_SHARE * channels))


def positional_basis(constant: Tensor, count: int) -> Tensor:
    """The main directions in which features of a constant image differ, so of position alone.

    Args:
        constant: features of an image without content, C×h×w.
        count: directions wanted.

    Returns:
        Orthonormal columns, float32 C×min(count, C, h·w).
    """
    columns = F.normalize(constant.float(), dim=0).flatten(1)
    centred = columns - columns.mean(dim=1, keepdim=True)
    directions: Tensor = torch.linalg.svd(centred, full_matrices=False).U
    return directions[:, :count].contiguous()


def debiased(rows: Tensor, basis: Tensor) -> Tensor:
    """Unit rows without their part in the span of `basis`, of unit length again.

    Args:
        rows: float32 N×C.
        basis: from `positional_basis`, C×k.
    """
    return F.normalize(rows - (rows @ basis) @ basis.T, dim=1)
