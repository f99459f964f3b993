"""The prompting that PerSAM and PerSAM-F share: choose among SAM's masks, refine with a box."""

import torch
from torch import Tensor

from models.methods.persam.target import box, cropped
from models.methods.sam.network import Sam
from models.segmenter import Features

_NOTHING = -1.0  # the score everywhere where no support has foreground


def best(
    sam: Sam,
    query: Features,
    points: Tensor,
    labels: Tensor,
    logits: Tensor,
    boxes: Tensor | None = None,
) -> Tensor:
    """Of SAM's three masks for a prompt with logits (1×4h×4w), the one it scores best."""
    masks, scores = sam.decode(query["embedding"], *sam.prompt(points, labels, boxes, logits))
    return masks[:, 1 + int(scores[0, 1:].argmax())]


def refined(sam: Sam, query: Features, points: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """`best` with the box of the logits' own mask; an empty mask has none and stays as it is."""
    inside = box(cropped(sam.enlarge(logits), query["content"])[0] > 0)
    if inside is None:
        return logits
    return best(sam, query, points, labels, logits, inside[None])


def empty(sam: Sam, query: Features) -> Tensor:
    """Scores of nothing: size×size."""
    return query["embedding"].new_full((sam.size, sam.size), _NOTHING, dtype=torch.float32)
