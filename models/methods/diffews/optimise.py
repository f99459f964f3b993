"""Making a loaded DiffewS fast without changing what it computes."""

import torch
from torch import nn

from models.methods.diffews.layout import lay_channels_last
from models.methods.diffews.options import DiffewSOptions
from models.methods.diffews.parts import Parts
from models.methods.diffews.prompt import project_once
from models.methods.diffews.upsample import fold_upsampling


def optimise(parts: Parts, options: DiffewSOptions, device: torch.device) -> None:
    """Move U-Net and VAE to `device` and prepare them for inference, in place.

    State dicts keep their names and values, so the parts can still be saved.
    """
    for module in (parts.unet, parts.vae, parts.tokens):
        if module is not None:
            nn.Module.to(module, device)  # diffusers' own asks its quantizers first
    if parts.tokens is None:
        project_once(parts.unet, parts.prompt.to(device, parts.unet.dtype))
    if options.fold_upsampling:
        fold_upsampling(parts.vae.decoder)
        fold_upsampling(parts.unet)
    if options.channels_last:
        lay_channels_last(parts.vae)
    # What an activation reads is a normalisation's result, which nobody else does. In the U-Net
    # this would not hold: its blocks share the time embedding.
    for module in parts.vae.modules():
        if isinstance(module, nn.SiLU):
            module.inplace = True
    if options.compile:
        parts.vae.encoder.compile()
        parts.vae.decoder.compile()
