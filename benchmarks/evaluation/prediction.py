"""Scores become masks here alone: mapped to the protocol's grid, then by the model's own rule."""

import io
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


def check_scores(scores: Tensor, episodes: Sequence[Episode]) -> None:
    """Refuse what cannot be scored.

    Raises:
        BenchError: if scores are not B×H×W or not finite; the episode is named.
    """
    what = f"scores of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else None
    if what is None or scores.ndim != 3 or len(scores) != len(episodes):
        raise BenchError(
            f"the model gave {what or type(scores).__name__} for {len(episodes)} queries; "
            f"scores must be B×H×W"
        )
    finite = torch.isfinite(scores).flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = episodes[int((~finite).nonzero()[0])]
        raise BenchError(
            f"the model gave scores that are not finite in episode {bad.index} (query {bad.query})"
        )


def predict(model: Segmenter, scores: Tensor, size: Size, target: Size) -> NDArray[np.bool_]:
    """Masks on the evaluation grid from scores on the model's.

    Args:
        model: gives geometry and rule.
        scores: B×H×W.
        size: (height, width) of the original queries, equal for all.
        target: (height, width) of the evaluation grid.

    Returns:
        B×H×W bool.

    Raises:
        BenchError: if the model's rule gives anything else.
    """
    masks = model.binarize(model.geometry.scores(scores, size, target))
    if masks.dtype != torch.bool or tuple(masks.shape) != (len(scores), *target):
        raise BenchError(
            f"the model made masks of {masks.dtype} {tuple(masks.shape)} from {len(scores)} score "
            f"maps for {target[0]}×{target[1]} pixels; they must be bool, B×H×W"
        )
    return masks.cpu().numpy()


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask as PNG, 0 and 255."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="PNG")
    return file.getvalue()
