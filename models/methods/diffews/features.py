"""Supports as `Features`: what each self-attention kept, by layer, and the mask's tokens."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from models.methods.diffews.attention import Kept
from models.segmenter import Features

_NAMES = {2: ("key", "value"), 1: ("hidden",)}
_INSIDE = "inside."


def pack(kept: Sequence[Kept], inside: Sequence[Mapping[int, Tensor]]) -> list[Features]:
    """Cut a batch into features: `3.key`, `3.value` (or `3.hidden`) of layer 3, and so on.

    Args:
        kept: by layer, with the batch in front.
        inside: for each of the batch, which tokens lie in its mask, by token count; may be empty.
    """
    packed = []
    for index, masks in enumerate(inside):
        tensors = {f"{_INSIDE}{tokens}": mask for tokens, mask in masks.items()}
        for layer, states in enumerate(kept):
            for name, state in zip(_NAMES[len(states)], states, strict=True):
                # A copy: a view would keep the whole batch alive in the cache.
                tensors[f"{layer}.{name}"] = state[index].clone()
        packed.append(Features(tensors))
    return packed


def kept_of(features: Features, layers: int) -> list[Kept]:
    """What `pack` was given for one support, by layer."""
    names = _NAMES[1] if "0.hidden" in features.tensors else _NAMES[2]
    return [tuple(features[f"{layer}.{name}"] for name in names) for layer in range(layers)]


def inside_of(features: Features) -> dict[int, Tensor]:
    """Which tokens of one support lie in its mask, by token count."""
    return {
        int(name.removeprefix(_INSIDE)): mask
        for name, mask in features.tensors.items()
        if name.startswith(_INSIDE)
    }
