"""The 50 learned queries of VRP-SAM: they read the reference, then the image to segment."""

import math

import torch
from torch import Tensor, nn

_HEADS = 4
_TEMPERATURE = 10_000


class Attend(nn.Module):
    """Attention whose result is added to its queries and normalised.

    Args:
        name: the authors' for the attention inside.
        width: of queries, keys and values.
    """

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.add_module(name, nn.MultiheadAttention(width, _HEADS, batch_first=True))
        self.norm = nn.LayerNorm(width)
        self._name = name

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Queries B×N×C after attending to B×M×C."""
        attention = self.get_submodule(self._name)
        read, _ = attention(queries, keys, values, need_weights=False)
        result: Tensor = self.norm(queries + read)
        return result


class QueryDecoder(nn.Module):
    """One layer: reference, each other, image, each other; without a feed-forward network.

    Args:
        queries: how many prompts are made of a reference.
        width: of a prompt.
    """

    def __init__(self, queries: int, width: int) -> None:
        super().__init__()

        def one(name: str) -> nn.ModuleList:
            return nn.ModuleList([Attend(name, width)])

        self.transformer_self_attention_layers = one("self_attn")
        self.transformer_self_attention_layers_0 = one("self_attn")
        self.transformer_cross_attention_layers_0 = one("multihead_attn")
        self.transformer_cross_attention_layers = one("multihead_attn")
        self.supp_q_feat = nn.Embedding(queries, width)

    def read_reference(self, maps: Tensor) -> Tensor:
        """What the queries learn of references B×C×h×w alone: B×queries×C."""
        tokens = self.supp_q_feat.weight.expand(len(maps), -1, -1)
        return _read(
            tokens,
            maps,
            self.transformer_cross_attention_layers_0[0],
            self.transformer_self_attention_layers_0[0],
        )

    def read_image(self, tokens: Tensor, maps: Tensor) -> Tensor:
        """The prompts for images B×C×h×w, from the tokens that have read a reference."""
        return _read(
            tokens,
            maps,
            self.transformer_cross_attention_layers[0],
            self.transformer_self_attention_layers[0],
        )


def _read(tokens: Tensor, maps: Tensor, cross: nn.Module, own: nn.Module) -> Tensor:
    """Tokens after attending to maps, then to each other."""
    values = maps.flatten(2).mT
    keys = values + sine_positions(maps.shape[1], maps.shape[2], maps.shape[3]).to(values)
    tokens = cross(tokens, keys, values)
    result: Tensor = own(tokens, tokens, tokens)
    return result


def sine_positions(channels: int, height: int, width: int) -> Tensor:
    """DETR's normalised sine encoding of each position: (h·w)×C, rows in the first half of C."""
    half = channels // 2
    index = torch.arange(half)
    periods = _TEMPERATURE ** (2 * (index // 2) / half)

    def encoded(count: int) -> Tensor:
        places = torch.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi
        angles = places[:, None] / periods
        return torch.where(index % 2 == 0, angles.sin(), angles.cos())

    rows = encoded(height)[:, None].expand(-1, width, -1)
    columns = encoded(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)
