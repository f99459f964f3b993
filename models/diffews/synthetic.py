"""Random weights in two sizes, for tests, timings and trials without a checkpoint."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from models.diffews.parts import Parts, build_vae
from models.diffews.unet import REFERENCE_CHANNELS, build_unet

# Stable Diffusion 2.1, and the same shape a few hundred times smaller.
_UNET: Mapping[str, Mapping[str, Any]] = {
    "sd21": {
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "sample_size": 64,
    },
    "tiny": {
        "block_out_channels": [32, 64, 64, 64],
        "attention_head_dim": [2, 4, 4, 4],
        "cross_attention_dim": 32,
        "norm_num_groups": 8,
        "sample_size": 16,
    },
}
_VAE: Mapping[str, Mapping[str, Any]] = {
    "sd21": {"block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32},
    "tiny": {"block_out_channels": [16, 32, 32, 32], "norm_num_groups": 8},
}


def random_parts(
    size: Literal["tiny", "sd21"], seed: int, tokens: int, dtype: torch.dtype
) -> Parts:
    """An untrained DiffewS: the same weights for the same seed; torch's own RNG is left alone."""
    unet_config = {
        "in_channels": 4,
        "out_channels": 4,
        REFERENCE_CHANNELS: 8,
        "layers_per_block": 2,
        "use_linear_projection": True,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        **_UNET[size],
    }
    vae_config = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "scaling_factor": 0.18215,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        **_VAE[size],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = nn.Module.to(build_unet(unet_config), dtype)
        vae = build_vae(vae_config)
        # As trained latents and images have it, a spread near 1: masks then depend on their inputs.
        vae.encoder.conv_out.weight.data *= 16
        vae.decoder.conv_out.weight.data *= 4
        nn.Module.to(vae, dtype)
        prompt = torch.randn(1, tokens, int(unet_config["cross_attention_dim"]))
    return Parts(
        unet=unet.requires_grad_(False).eval(),
        unet_config=unet_config,
        vae=vae.requires_grad_(False).eval(),
        vae_config=vae_config,
        prompt=prompt,
        digest=None,
        vae_digest=f"random-{size}-{seed}",
    )
