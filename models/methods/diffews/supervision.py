"""The image that stands for a query's mask, and the way back (`Design.supervision`).

With the query image I and its mask M, both in 0..1, and the decoded image X:

| form | trained towards | foreground of X |
|---|---|---|
| `white_fg_black_bg` | M in three channels | mean of X's channels |
| `real_fg_black_bg` | I·M | distance of X from black |
| `black_fg_real_bg` | I·(1-M) | distance of X from I |
| `mask_on_image` | 0.5·I + 0.5·M | mean of the channels of 2·X - I |

A distance is Euclidean over the channels, divided by √3. Where I itself is black, the second and
the third form cannot tell foreground from background.
"""

from torch import Tensor

from models.methods.diffews.design import Supervision
from models.methods.diffews.injection import mask_image


def target_image(images: Tensor, masks: Tensor, form: Supervision) -> Tensor:
    """What the decoder should show of queries B×3×H×W (-1..1) with masks B×H×W: in -1..1."""
    inside = masks[:, None]
    if form == "white_fg_black_bg":
        return mask_image(masks)
    if form == "real_fg_black_bg":
        return (images + 1) * inside - 1
    if form == "black_fg_real_bg":
        return (images + 1) * (1 - inside) - 1
    return (images + mask_image(masks)) / 2


def foreground(decoded: Tensor, queries: Tensor | None, form: Supervision) -> Tensor:
    """Foreground in 0..1, whose mean over the channels is the score.

    Args:
        decoded: B×3×H×W in 0..1.
        queries: the same of the query images, for the forms that compare.
        form: as trained.

    Returns:
        B×C×H×W, C being 3 or 1.
    """
    if form == "white_fg_black_bg":
        return decoded
    if form == "real_fg_black_bg":
        return _length(decoded)
    assert queries is not None  # noqa: S101 - narrows the type
    if form == "black_fg_real_bg":
        return _length(decoded - queries)
    return (2 * decoded - queries).clamp(0, 1)


def _length(colours: Tensor) -> Tensor:
    return colours.square().mean(1, keepdim=True).sqrt()
