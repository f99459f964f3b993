"""Finding a target in an image by its SAM embedding, as PerSAM does."""

import torch
import torch.nn.functional as F
from torch import Tensor

# PerSAM's authors normalise a reference mask as if it were an image, stretch it to the embedding
# and take what is positive. Their masks are drawn with 128 in the channel that they read, of mean
# 123.675: a position counts if the four pixels around its centre are in the mask.
_COVERED = 123.675 / 128


def target_rows(embedding: Tensor, mask: Tensor) -> Tensor:
    """The embedding's rows that lie on the target.

    Of a mask that covers no position so far, the most covered ones are taken instead.

    Args:
        embedding: C×h×w.
        mask: float, H×W in {0, 1}, on the whole grid.

    Returns:
        float32 N×C; N is 0 only for an empty mask.
    """
    grid = (embedding.shape[1], embedding.shape[2])
    chosen = F.interpolate(mask[None, None], grid, mode="bilinear", align_corners=False) > _COVERED
    if not chosen.any():
        share = F.adaptive_avg_pool2d(mask[None, None], grid)
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


def cropped(maps: Tensor, content: Tensor) -> Tensor:
    """Maps on the whole grid (...×H×W) without the padding; `content` is from `Sam.encode`."""
    height, width = content.tolist()
    return maps[..., :height, :width]


def peak(values: Tensor) -> Tensor:
    """The (x, y) of the greatest of H×W values, float32.

    Interpolation makes plateaus at the borders, where rounding would choose; of what is within
    rounding of the greatest, the first in row order is taken.
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
