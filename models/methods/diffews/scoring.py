"""From the decoded image of a mask to foreground scores."""

from typing import Literal

import torch
from torch import Tensor

from models.methods.diffews.design import Supervision
from models.methods.diffews.supervision import foreground

Rule = Literal["relative", "absolute"]
Scoring = Literal["exact", "float"]


def margins(
    decoded: Tensor,
    threshold: float,
    rule: Rule,
    scoring: Scoring,
    form: Supervision = "white_fg_black_bg",
    queries: Tensor | None = None,
) -> Tensor:
    """How far each pixel's foreground lies above the threshold; what is above 0 is the mask.

    The authors mark a pixel where the mean of its channels exceeds the threshold, in float32. A
    difference of two floats is positive exactly where the first is the larger, so the sign of
    the margin is their decision to the pixel; and a margin, unlike a decision, can be resized.

    Args:
        decoded: B×3×H×W from the VAE, nominally -1..1.
        threshold: foreground in 0..1; or, for `relative`, a share of the image's largest value.
        rule: `relative` (the authors' evaluation) or `absolute`.
        scoring: `exact` truncates to 8 bits first, as the authors do; `float` does not.
        form: what the image was trained to show.
        queries: the query images, B×3×H×W in 0..1, for the forms that compare with them.

    Returns:
        B×H×W float32; not finite where an image is not.
    """
    decoded = decoded.float()
    bright = (torch.where(decoded.isfinite(), decoded.clamp(-1, 1), torch.nan) + 1) / 2
    if scoring == "exact":
        bright = (bright * 255).floor() / 255
    score = foreground(bright, queries, form)
    mean = score.mean(1)
    if rule == "absolute":
        return mean - threshold
    return mean - threshold * score.amax((1, 2, 3))[:, None, None]
