"""Finding a target in an image by its SAM embedding, as PerSAM does."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.methods.sam.frame import NEUTRAL, Frame


def target_rows(embedding: Tensor, mask: Tensor, frame: Frame) -> Tensor:
    """The embedding's rows that lie on the target.

    A position counts if the drawn mask, stretched to the embedding, is above its neutral value. Of
    a mask that covers no position so far, the most covered ones are taken instead.

    Args:
        embedding: C×h×w.
        mask: H×W in {0, 1}, of the image's size.
        frame: of the image.

    Returns:
        float32 N×C; N is 0 only for an empty mask.
    """
    grid = (embedding.shape[1], embedding.shape[2])
    drawn = frame.mask(mask)[None, None]
    chosen = F.interpolate(drawn - NEUTRAL, grid, mode="bilinear") > 0
    if not chosen.any():
        share = F.adaptive_avg_pool2d(drawn * (drawn != NEUTRAL), grid)
        chosen = (share == share.amax()) & (share > 0)
    return embedding.flatten(1).T[chosen.flatten().to(embedding.device)].float()


def similarity(embedding: Tensor, target: Tensor) -> Tensor:
    """Cosine of every position with the target, four times as fine: 4h×4w in -1..1.

    Args:
        embedding: C×h×w.
        target: C, not zero.
    """
    cosines = torch.einsum(
        "c,chw->hw", F.normalize(target, dim=0), F.normalize(embedding.float(), dim=0)
    )
    return F.interpolate(cosines[None, None], scale_factor=4, mode="bilinear", align_corners=False)[
        0, 0
    ]


def peak(values: Tensor) -> Tensor:
    """The (x, y) of the greatest of H×W values, float32.

    Interpolation makes plateaus, where rounding would choose (and does in the authors' code); of
    what is within rounding of the greatest, the first in row order is taken.
    """
    first = int((values >= values.max() - 1e-6).flatten().int().argmax())
    row, column = divmod(first, values.shape[1])
    return torch.tensor([column, row], dtype=torch.float32, device=values.device)


def box(mask: Tensor) -> Tensor | None:
    """The tight box (left, top, right, bottom; all inside) of a bool H×W; None if it is empty."""
    rows, columns = (mask.any(axis).nonzero().flatten() for axis in (1, 0))
    if len(rows) == 0:
        return None
    return torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).float()
