"""The self-attention that reads the queries of one image, the keys of others, the values of masks.

Attention(Q_C, [K_A1; ...; K_AK], [V_B1; ...; V_BK]): C is the query image, A_k and B_k the k-th
support's image and its mask's image. With several supports their keys compete in one softmax,
which is the paper's implicitly weighted ensemble.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.methods.diffews.attention import Replacement


def swapped(
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    temperature: float,
    contrast: float,
) -> Replacement:
    """The replacement for an `AttentionBank`.

    Args:
        queries: by layer, B × tokens × width; an empty tensor leaves the layer as it is.
        keys: by layer, B × (supports · tokens) × width.
        values: the same.
        temperature: divides the logits.
        contrast: how far weights are moved from their mean, cut to 0..1 (Alaluf et al., arXiv
            2311.03335); 1 leaves them.
    """

    def attention(layer: int, attn: Any, hidden: Tensor) -> Tensor | None:
        if not len(queries[layer]):
            return None
        scale = (hidden.shape[2] // attn.heads) ** -0.5 / temperature
        rows = zip(queries[layer], keys[layer], values[layer], strict=True)
        # One by one: the weights of a single 512² image and five supports are a gigabyte.
        return torch.stack([_one(*row, attn.heads, scale, contrast) for row in rows])

    return attention


def _one(
    query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float, contrast: float
) -> Tensor:
    """Of tokens × width queries the mixed values, the same."""

    def split(states: Tensor) -> Tensor:
        return states.view(len(states), heads, -1).transpose(0, 1)

    # In float32: Stable Diffusion 2.1 has queries and keys whose products are beyond half's range.
    logits = split(query).float() @ split(key).float().transpose(1, 2) * scale
    weights = logits.softmax(-1)
    if contrast != 1:
        mean = 1 / weights.shape[-1]
        weights = ((weights - mean) * contrast + mean).clamp(0, 1)
    mixed = weights.to(value.dtype) @ split(value)
    return mixed.transpose(0, 1).reshape(query.shape)
