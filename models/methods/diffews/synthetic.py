"""Untrained networks in three sizes: for tests and timings, and to train `diffews-tiny` from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from models.methods.diffews.design import Design
from models.methods.diffews.parts import Parts, build_vae
from models.methods.diffews.tokens import WIDTH as TOKEN_WIDTH
from models.methods.diffews.tokens import ImageTokens
from models.methods.diffews.unet import QUERY_CHANNELS, REFERENCE_CHANNELS, build_unet
from models.weights.source import tensor_digest

Size = Literal["tiny", "small", "sd21"]

_LIKE_SD21 = {
    "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
# Stable Diffusion 2.1, the same shape a few hundred times smaller, and what two CPU cores can
# train on images of 128².
_UNET: Mapping[Size, Mapping[str, Any]] = {
    "sd21": {
        **_LIKE_SD21,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "sample_size": 64,
    },
    "tiny": {
        **_LIKE_SD21,
        "block_out_channels": [32, 64, 64, 64],
        "attention_head_dim": [2, 4, 4, 4],
        "cross_attention_dim": 32,
        "norm_num_groups": 8,
        "sample_size": 16,
    },
    "small": {
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D"] * 2,
        "up_block_types": ["CrossAttnUpBlock2D"] * 2,
        "block_out_channels": [64, 96],
        "attention_head_dim": [4, 4],
        "cross_attention_dim": 32,
        "norm_num_groups": 8,
        "sample_size": 16,
    },
}
_VAE: Mapping[Size, Mapping[str, Any]] = {
    "sd21": {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2},
    "tiny": {"block_out_channels": [16, 32, 32, 32], "layers_per_block": 2, "norm_num_groups": 8},
    "small": {
        "block_out_channels": [16, 32, 48, 64],
        "latent_channels": 8,
        "layers_per_block": 1,
        "mid_block_add_attention": False,  # it is trained on crops
        # More groups would normalise each of the few channels alone, and lose how bright they are.
        "norm_num_groups": 2,
    },
}


_SMALL_CLIP = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 128,
    "patch_size": 16,
}
# CLIP ViT-H/14, and the same shape for small images.
_CLIP: Mapping[Size, Mapping[str, Any]] = {
    "sd21": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "gelu",
    },
    "tiny": _SMALL_CLIP,
    "small": _SMALL_CLIP,
}


def random_parts(
    size: Size, seed: int, tokens: int, dtype: torch.dtype, design: Design | None = None
) -> Parts:
    """An untrained DiffewS: the same weights for the same seed; torch's own RNG is left alone."""
    design = design or Design()
    inputs = [REFERENCE_CHANNELS, *([QUERY_CHANNELS] if design.generation == "mn2m" else [])]
    parts = untrained_parts(size, seed, tokens, inputs)
    if design.tokenized:
        parts = replace(parts, tokens=untrained_tokens(size, seed).requires_grad_(False).eval())
    # As trained latents and images have it, a spread near 1: masks then depend on their inputs.
    parts.vae.encoder.conv_out.weight.data *= 16
    parts.vae.decoder.conv_out.weight.data *= 4
    # What is drawn for the VAE hangs on the U-Net's inputs, which are drawn before it.
    parts = replace(parts, vae_digest=tensor_digest(parts.vae))
    for module in (parts.unet, parts.vae, parts.tokens):
        if module is not None:
            nn.Module.to(module, dtype)
    return parts


def untrained_tokens(size: Size, seed: int) -> ImageTokens:
    """An untrained image encoder; torch's RNG is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ImageTokens({**_CLIP[size], TOKEN_WIDTH: _UNET[size]["cross_attention_dim"]})


def untrained_parts(size: Size, seed: int, tokens: int, inputs: Sequence[str] = ()) -> Parts:
    """A Stable Diffusion as its constructors initialise it, frozen; torch's RNG is left alone.

    Args:
        size: which.
        seed: of the weights and of the prompt's embeddings.
        tokens: length of the prompt.
        inputs: entries of the U-Net's config that name further input convolutions.
    """
    vae_config = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        **_VAE[size],
    }
    unet_config = {
        "in_channels": vae_config["latent_channels"],
        "out_channels": vae_config["latent_channels"],
        "use_linear_projection": True,
        **_UNET[size],
        **dict.fromkeys(inputs, 2 * vae_config["latent_channels"]),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = build_unet(unet_config), build_vae(vae_config)
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
