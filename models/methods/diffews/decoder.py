"""From a latent to an image: Stable Diffusion's VAE, or a tiny decoder for previews."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelError
from models.methods.diffews.checkpoint import load_part, read_config

Decoder = Callable[[Tensor], Tensor]


def vae_decoder(vae: Any) -> Decoder:
    """Decode scaled latents B×4×h×w to images B×3×8h×8w, nominally -1..1."""
    scale = vae.config.scaling_factor
    return lambda latents: vae.decode(latents / scale).sample


def tiny_decoder(folder: str | None, device: torch.device, dtype: torch.dtype) -> Decoder:
    """The same with diffusers' AutoencoderTiny: a preview, not comparable.

    Raises:
        ModelError: if the folder is missing or unreadable.
    """
    from diffusers import AutoencoderTiny

    if folder is None:
        raise ModelError(
            "DiffewS: decoder=tiny needs tiny_decoder=DIR, a folder with an AutoencoderTiny "
            "for Stable Diffusion 2 (for example madebyollin/taesd)"
        )
    path = Path(folder)
    config = {k: v for k, v in read_config(path).items() if not k.startswith("_")}
    tiny, _ = load_part(lambda: AutoencoderTiny.from_config(config), path, dtype)
    tiny.to(device)
    return lambda latents: tiny.decode(latents).sample
