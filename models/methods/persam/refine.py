"""The prompting that PerSAM and PerSAM-F share: choose among SAM's masks, refine with a box."""

import torch
from torch import Tensor

from models.methods.persam.target import box
from models.methods.sam import THREE_MASKS, Sam
from models.segmenter import Features

_NOTHING = -1.0  # the score everywhere where no support has foreground


def best(
    sam: Sam,
    query: Features,
    points: Tensor,
    labels: Tensor,
    logits: Tensor,
    corners: Tensor | None = None,
) -> Tensor:
    """Of SAM's three masks for a prompt with logits (1×4h×4w), the one it scores best.

    Points and the corners of a box, 1×N×2 and 1×2×2, are in the image's pixels.
    """
    frame = sam.frame(query)
    boxes = None if corners is None else frame.points(corners).flatten(1)
    prompt = sam.prompt(frame.points(points), labels, boxes, logits)
    masks, scores = sam.decode(query["embedding"], *prompt, which=THREE_MASKS)
    return masks[:, int(scores[0].argmax())]


def refined(sam: Sam, query: Features, points: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """`best` with the box of the logits' own mask; an empty mask has none and stays as it is."""
    inside = box(sam.frame(query).restored(logits)[0] > 0)
    if inside is None:
        return logits
    return best(sam, query, points, labels, logits, inside.view(1, 2, 2))


def empty(query: Features) -> Tensor:
    """Scores of nothing, of the image's size."""
    return query["embedding"].new_full(query["size"].tolist(), _NOTHING, dtype=torch.float32)
