"""What a segmenter is told of episodes beside features, if it wants to be."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from datasets_prep.episodes.episode import Episode
from models.segmenter import Segmenter, trait


def extras(
    model: Segmenter,
    episodes: Sequence[Episode],
    seed: str,
    truths: Callable[[Sequence[tuple[str, int]]], Tensor],
    name: Callable[[int], str],
) -> dict[str, Any]:
    """The keyword arguments of `segment` that the model's `wants` names.

    Args:
        model: the segmenter.
        episodes: those of one call of `segment`.
        seed: digest of the list that they are of.
        truths: from B (image, class) to their masks, B×H×W in {0, 1} on the model's grid.
        name: from a class's number to what the dataset calls it.
    """
    wants = trait(model, "wants")
    wanted: dict[str, Any] = {}
    if "seeds" in wants:
        wanted["seeds"] = [episode_seed(seed, e.index) for e in episodes]
    if "truths" in wants:
        wanted["truths"] = truths([(e.query, e.class_index) for e in episodes])
    if "names" in wants:
        wanted["names"] = [name(e.class_index) for e in episodes]
    return wanted


def episode_seed(name: str, index: int) -> int:
    """A seed in 0..2^32-1 that depends on the episode list's digest and the episode's number."""
    return (int(name[:8], 16) + 2654435761 * (index + 1)) % 2**32
