"""Attention between a few tokens and the places of an image.

After `models/common.py` and `models/transformer.py` of pasqualedem/LabelAnything, which are SAM's;
modules are called as there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HEADS, _LAYERS, _HIDDEN = 8, 2, 2048


class Attention(nn.Module):
    """Multi-head attention through a narrower space.

    Args:
        width: channels of queries, keys, values and result.
        inner: channels that are attended with.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """B×N×C from B×N×C, B×M×C and B×M×C."""
        parts = (
            project(tokens).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
            for project, tokens in (
                (self.q_proj, queries),
                (self.k_proj, keys),
                (self.v_proj, values),
            )
        )
        read = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        result: Tensor = self.out_proj(read)
        return result


class Perceptron(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, _HIDDEN)
        self.lin2 = nn.Linear(_HIDDEN, width)
        self.activation = activation

    def forward(self, tokens: Tensor) -> Tensor:
        """...×C from ...×C."""
        result: Tensor = self.lin2(self.activation(self.lin1(tokens)))
        return result


class SelfAttention(nn.Module):
    """Tokens that attend to each other, then a perceptron; one norm serves after both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = Perceptron(width, nn.GELU())
        self.attn = Attention(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """B×N×C from B×N×C."""
        tokens = self.norm(tokens + self.attn(tokens, tokens, tokens))
        result: Tensor = self.norm(tokens + self.mlp(tokens))
        return result


class TwoWayLayer(nn.Module):
    """Tokens attend to each other and to the image, the image attends to the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width, nn.ReLU())
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, width // 2)

    def forward(
        self, tokens: Tensor, image: Tensor, own: Tensor | None, first: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next tokens and image.

        Args:
            tokens: B×N×C.
            image: B×M×C.
            own: what the tokens attend with to each other, beside themselves; None where this
                attention takes their place instead of being added, in the first layer.
            first: the tokens as they came in, B×N×C: their position.
            places: the image's position encoding, M×C.
        """
        if own is None:
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            marked = tokens + own
            tokens = self.norm1(tokens + self.self_attn(marked, marked, tokens))
        keys = image + places
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + first, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        read = self.cross_attn_image_to_token(keys, tokens + first, tokens)
        return tokens, self.norm4(image + read)


class TwoWayTransformer(nn.Module):
    """SAM's two layers, after which the tokens look at the image once more."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TwoWayLayer(width) for _ in range(_LAYERS)])
        self.final_attn_token_to_image = Attention(width, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, maps: Tensor, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens B×N×C and image B×(h·w)×C from maps B×C×h×w, places (h·w)×C and tokens."""
        first, image = tokens, maps.flatten(2).mT
        for number, layer in enumerate(self.layers):
            tokens, image = layer(tokens, image, first if number else None, first, places)
        keys = image + places
        tokens = tokens + self.final_attn_token_to_image(tokens + first, keys, image)
        return self.norm_final_attn(tokens), image


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of maps."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """B×C×h×w from B×C×h×w."""
        return torch.movedim(super().forward(torch.movedim(maps, 1, -1)), -1, 1)
