"""What an image and its prompts say of a class and of the background: an embedding of each.

After `models/prompt_encoder.py` of pasqualedem/LabelAnything; modules are called as there.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.methods.label_anything.attention import ChannelNorm, SelfAttention, TwoWayTransformer

PromptType = Literal["mask", "bbox", "point"]
_MASK_CHANNELS = 16
_NEGATIVE, _POSITIVE, _TOP_LEFT, _BOTTOM_RIGHT = range(4)  # of `point_embeddings`


class Places(nn.Module):
    """Sines and cosines of random frequencies, for places in an image."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, places: Tensor) -> Tensor:
        """...×C from ...×2, (x, y) in 0..1."""
        angles = 2 * math.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix.float())
        encoded = torch.cat([angles.sin(), angles.cos()], dim=-1)
        result: Tensor = encoded.to(self.positional_encoding_gaussian_matrix)
        return result

    def grid(self, height: int, width: int) -> Tensor:
        """Of the cells of a grid, row by row: (height·width)×C."""
        device = self.positional_encoding_gaussian_matrix.device
        rows = (torch.arange(height, device=device) + 0.5) / height
        columns = (torch.arange(width, device=device) + 0.5) / width
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        encoded: Tensor = self(torch.stack([x, y], dim=-1))
        return encoded.flatten(0, 1)


class PromptEncoder(nn.Module):
    """Prompts of one class on one image, beside the background that has none of its own.

    Args:
        width: channels of image maps, tokens and embeddings.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pe_layer = Places(width)
        self.point_embeddings = nn.ModuleList([nn.Embedding(1, width) for _ in range(4)])
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, _MASK_CHANNELS // 4, 2, stride=2),
            ChannelNorm(_MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS // 4, _MASK_CHANNELS, 2, stride=2),
            ChannelNorm(_MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS, width, 1),
        )
        self.no_mask_embed = nn.Embedding(1, width)
        self.transformer = TwoWayTransformer(width)
        self.sparse_embedding_attention = SelfAttention(width)
        self.no_sparse_embedding = nn.Embedding(1, width)
        self.not_a_mask_embed = nn.Embedding(1, width)

    def forward(self, maps: Tensor, masks: Tensor, kind: PromptType) -> Tensor:
        """The embeddings of the background and of the class.

        Args:
            maps: of the images, B×C×h×w.
            masks: of the class, B×H×W in {0, 1}.
            kind: what of a mask is told: all of it, its tight box, or its middle.

        Returns:
            B×2×C.
        """
        places = self.pe_layer.grid(*maps.shape[-2:])
        if kind == "mask":
            tokens = self.no_sparse_embedding.weight.expand(len(maps), 2, 1, -1)
            dense = self._dense(masks, maps)
        else:
            tokens = self._corners(masks) if kind == "bbox" else self._middles(masks)
            dense = self.no_mask_embed.weight[:, None, :, None, None]
        tokens = self.sparse_embedding_attention(tokens.flatten(1, 2)).unflatten(1, (2, -1))
        source = (maps[:, None] + dense).expand(-1, 2, -1, -1, -1)
        _, image = self.transformer(source.flatten(0, 1), places, tokens.flatten(0, 1))
        embeddings: Tensor = image.mean(1)
        return embeddings.view(len(maps), 2, -1)

    def _dense(self, masks: Tensor, maps: Tensor) -> Tensor:
        """The background's and the class's masks as maps, B×2×C×h×w."""
        own = self.mask_downscaling(masks[:, None].to(maps))
        absent = self.not_a_mask_embed.weight[:, :, None, None]
        own = torch.where(masks.any((1, 2))[:, None, None, None], own, absent)
        if own.shape[-2:] != maps.shape[-2:]:
            own = F.interpolate(own.float(), maps.shape[-2:], mode="bilinear").to(maps)
        return torch.stack([absent.expand_as(own), own], dim=1)

    def _corners(self, masks: Tensor) -> Tensor:
        """Tokens of the background's and the class's tight box: B×2×2×C."""
        rows, columns = (_span(masks.any(axis)) for axis in (2, 1))
        corners = torch.stack([columns, rows], dim=-1)  # B×2×2: begin and end, x and y
        kinds = torch.cat([self._kind(_TOP_LEFT), self._kind(_BOTTOM_RIGHT)])
        own = self._encoded(corners, masks) + kinds
        return self._beside_background(own, masks)

    def _middles(self, masks: Tensor) -> Tensor:
        """Tokens of no point of the background and of one of the class: B×2×2×C.

        The second of each is the padding that SAM adds where there is no box. It is labelled -1,
        which to Label Anything means a negative point, in the corner of the image.
        """
        points = torch.stack([_middle(mask) for mask in masks])[:, None]
        own = self._encoded(points, masks) + self._kind(_POSITIVE)
        tokens = self._beside_background(own, masks)
        corner = self.pe_layer(torch.zeros(2, device=masks.device))
        padding = (corner + self._kind(_NEGATIVE)).expand(len(masks), 2, 1, -1)
        return torch.cat([tokens, padding], dim=2)

    def _kind(self, number: int) -> Tensor:
        """What marks a point of a kind: 1×C."""
        return self.point_embeddings[number].get_parameter("weight")

    def _encoded(self, places: Tensor, masks: Tensor) -> Tensor:
        """...×C of pixels ...×2, (x, y)."""
        size = places.new_tensor([masks.shape[2], masks.shape[1]])
        encoded: Tensor = self.pe_layer((places + 0.5) / size)
        return encoded

    def _beside_background(self, own: Tensor, masks: Tensor) -> Tensor:
        """B×2×N×C of B×N×C; of the background, and where a mask is empty, no points."""
        absent = self.not_a_point_embed.weight.expand_as(own)
        own = torch.where(masks.any((1, 2))[:, None, None], own, absent)
        return torch.stack([absent, own], dim=1)


def _span(occupied: Tensor) -> Tensor:
    """First index and the one after the last of each row of B×N bool, as float B×2; any if none."""
    first = occupied.int().argmax(1)
    last = occupied.shape[1] - occupied.flip(1).int().argmax(1)
    return torch.stack([first, last], dim=1).float()


def _middle(mask: Tensor) -> Tensor:
    """(x, y) of the foreground pixel nearest to the mean of all of them; any if there is none."""
    pixels = mask.nonzero().float()
    if not len(pixels):
        return mask.new_zeros(2)
    nearest = (pixels - pixels.mean(0)).square().sum(1).argmin()
    return pixels[nearest].flip(0)
