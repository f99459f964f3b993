"""Scores become masks here alone: mapped to the protocol's grid, then by the model's own rule."""

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.errors import BenchError
from datasets_prep.episodes.episode import Episode
from models.geometry import Size
from models.segmenter import Segmenter


def check_scores(scores: Tensor, episodes: Sequence[Episode], together: int = 0) -> None:
    """Refuse what cannot be scored.

    Args:
        scores: what a model gave.
        episodes: what it was asked.
        together: the number of classes, where `segment_classes` gave the scores of all at once.

    Raises:
        BenchError: if scores are not B×H×W, of all classes at once B×(N+1)×H×W, or not finite;
            the episode is named.
    """
    what = f"scores of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else None
    each = together or 1
    lead = (len(episodes) // each, *([together + 1] if together else []))
    if what is None or scores.ndim != len(lead) + 2 or tuple(scores.shape[: len(lead)]) != lead:
        raise BenchError(
            f"the model gave {what or type(scores).__name__} for {lead[0]} queries; "
            f"scores must be {f'B×{lead[1]}×H×W' if together else 'B×H×W'}"
        )
    finite = torch.isfinite(scores).flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = episodes[int((~finite).nonzero()[0]) * each]
        raise BenchError(
            f"the model gave scores that are not finite in episode {bad.index} (query {bad.query})"
        )


def checked_presence(presence: Tensor, episodes: Sequence[Episode]) -> list[float]:
    """What a model says of each episode's query, refused where it cannot be ranked.

    Raises:
        BenchError: if it is not a number for each, or not finite; the episode is named.
    """
    what = f"shape {tuple(presence.shape)}" if isinstance(presence, Tensor) else None
    if what is None or tuple(presence.shape) != (len(episodes),):
        raise BenchError(
            f"the model gave presence of {what or type(presence).__name__} for {len(episodes)} "
            "queries; it must be a number for each"
        )
    found: list[float] = presence.double().tolist()
    for episode, value in zip(episodes, found, strict=True):
        if not math.isfinite(value):
            raise BenchError(
                f"the model gave a presence of {value} in episode {episode.index} "
                f"(query {episode.query}); it must be finite"
            )
    return found


def predict(
    model: Segmenter, scores: Tensor, size: Size, target: Size, ways: int = 1
) -> NDArray[np.bool_]:
    """Masks on the evaluation grid from scores on the model's.

    Args:
        model: gives geometry and rule.
        scores: B×H×W, a map for each (query, class); or (B/N)×(N+1)×H×W, background first.
        size: (height, width) of the original queries, equal for all.
        target: (height, width) of the evaluation grid.
        ways: so many maps that follow each other are of classes of one query, N: a pixel goes to
            the class of the largest score among those that the model's rule makes foreground, as in
            PANet (Wang et al. 2019) and Label Anything (De Marinis et al. 2024).

    Returns:
        B×H×W bool.

    Raises:
        BenchError: if the model's rule gives anything else.
    """
    if scores.ndim == 4:
        every = model.geometry.scores(scores.flatten(0, 1), size, target)
        best = every.reshape(*scores.shape[:2], *target).argmax(1)
        return torch.stack([best == n + 1 for n in range(ways)], 1).flatten(0, 1).cpu().numpy()
    stretched = model.geometry.scores(scores, size, target)
    masks = model.binarize(stretched)
    if masks.dtype != torch.bool or tuple(masks.shape) != (len(scores), *target):
        raise BenchError(
            f"the model made masks of {masks.dtype} {tuple(masks.shape)} from {len(scores)} score "
            f"maps for {target[0]}×{target[1]} pixels; they must be bool, B×H×W"
        )
    if ways > 1:
        masks = _largest(stretched, masks, ways)
    return masks.cpu().numpy()


def _largest(scores: Tensor, masks: Tensor, ways: int) -> Tensor:
    """Of `ways` masks that follow each other, each pixel in that of the largest score alone."""
    own = scores.masked_fill(~masks, -torch.inf).reshape(-1, ways, *scores.shape[1:])
    best = torch.zeros_like(own, dtype=torch.bool).scatter_(1, own.argmax(1, keepdim=True), True)
    return masks & best.flatten(0, 1)


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask as PNG, 0 and 255."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="PNG")
    return file.getvalue()
