"""How the support pass sees its mask (`Design.mask_injection`)."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.geometry import Size
from models.methods.diffews.design import Injection

# What the authors add to the attention logits of a support key outside its mask.
OUTSIDE = -10000.0


def mask_image(masks: Tensor) -> Tensor:
    """Masks B×H×W in {0, 1} as the images that the VAE sees: B×3×H×W in -1..1."""
    return (masks * 2 - 1)[:, None].expand(-1, 3, -1, -1)


def composed(images: Tensor, masks: Tensor, injection: Injection) -> Tensor:
    """The support's image as the VAE, or CLIP, sees it.

    Args:
        images: B×3×H×W in -1..1.
        masks: B×H×W in {0, 1}.
        injection: `multiplication` blackens what lies outside the mask, `addition` blends the
            image with the mask's; the others leave the image as it is.
    """
    if injection == "multiplication":
        return (images + 1) * masks[:, None] - 1
    if injection == "addition":
        return (images + mask_image(masks)) / 2
    return images


def masked_latents(latents: Tensor, masks: Tensor) -> Tensor:
    """Latents B×C×h×w times their masks (B×H×W), taken by nearest neighbour."""
    small = F.interpolate(masks[:, None].to(latents.dtype), size=latents.shape[2:], mode="nearest")
    return latents * small


def token_grids(latent: Size, levels: int) -> list[Size]:
    """The U-Net's grids, each half of the one before, rounded up."""
    grids = [latent]
    for _ in range(levels - 1):
        height, width = grids[-1]
        grids.append(((height + 1) // 2, (width + 1) // 2))
    return grids


def token_masks(masks: Tensor, grids: Sequence[Size]) -> list[dict[int, Tensor]]:
    """For each mask of B×H×W, which tokens lie inside: by token count, bool, flat.

    Taken from the full mask by nearest neighbour, as the authors do.
    """
    levels = {
        height * width: F.interpolate(masks[:, None].float(), size=(height, width), mode="nearest")
        for height, width in grids
    }
    return [
        {tokens: level[i].flatten() > 0.5 for tokens, level in levels.items()}
        for i in range(masks.shape[0])
    ]


def outside_bias(
    supports: Sequence[Sequence[Mapping[int, Tensor]]], dtype: torch.dtype
) -> dict[int, Tensor]:
    """The logit bias of B queries with K supports each.

    Args:
        supports: B × K results of `token_masks`; K is the same for all, and at least 1.
        dtype: of the attention.

    Returns:
        By token count, B×1×1×(1 + K)·tokens: 0 for the query's own keys and for support keys
        inside their mask, `OUTSIDE` for the others.
    """
    bias = {}
    for tokens, first in supports[0][0].items():
        inside = torch.stack([torch.cat([mask[tokens] for mask in row]) for row in supports])
        outside = torch.where(inside, 0.0, OUTSIDE).to(dtype)
        own = torch.zeros(len(supports), tokens, dtype=dtype, device=first.device)
        bias[tokens] = torch.cat([own, outside], 1)[:, None, None]
    return bias
