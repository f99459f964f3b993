"""Keys and values of several supports, thinned to as many as one support has."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.methods.diffews.attention import Kept

Inside = Mapping[int, Tensor]


def subsampled(
    kept: Sequence[Sequence[Sequence[Kept]]], inside: Sequence[Sequence[Inside]], seed: int
) -> tuple[list[list[list[Kept]]], list[list[Inside]]]:
    """Put one support in the place of K, made of a random 1/K of their tokens.

    A model that was trained with one support then sees as many keys as in training. The same
    places are drawn for every query and in every layer of a token count, so that neither batches
    nor the order of episodes matter.

    Args:
        kept: queries × supports × layers.
        inside: queries × supports, which tokens lie in the mask, by token count; may be empty.
        seed: of the draw.
    """
    if len(kept[0]) < 2:
        return [[list(s) for s in row] for row in kept], [list(row) for row in inside]

    def thinned(parts: Sequence[Tensor]) -> Tensor:
        tokens = parts[0].shape[0]
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(parts) * tokens, generator=generator)[:tokens]
        return torch.cat(list(parts))[chosen.to(parts[0].device)]

    few: list[list[list[Kept]]] = [
        [
            [
                tuple(thinned([s[layer][part] for s in row]) for part in range(len(row[0][layer])))
                for layer in range(len(row[0]))
            ]
        ]
        for row in kept
    ]
    masks: list[list[Inside]] = [
        [{tokens: thinned([mask[tokens] for mask in row]) for tokens in row[0]}] for row in inside
    ]
    return few, masks
