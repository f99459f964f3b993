"""How HSNet makes one mask of the masks that K supports give."""

from torch import Tensor


def combine(margins: Tensor) -> Tensor:
    """One score map from those of K supports; foreground is above 0.

    One support keeps its margin. Of several, each votes by its own mask; a pixel with at least
    half of the votes that the image's most voted pixel has is foreground, and no vote is none
    (the authors' `predict_mask_nshot`: votes / max(most, 1) >= 0.5). The score is by how many
    votes a pixel passes, less the half that puts the border midway between enough and too few:
    resized to another grid, a mask's edge runs between its last and the next pixel.

    Args:
        margins: foreground minus background logit, K×H×W.

    Returns:
        H×W.
    """
    if len(margins) == 1:
        return margins[0]
    votes = (margins > 0).sum(0).to(margins.dtype)
    needed = (votes.amax() / 2).ceil().clamp_min(1)
    return votes - needed + 0.5
