"""A Stable Diffusion as it was before any fine-tuning: its parts, its VAE, its noise."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.errors import ModelError
from models.methods.diffews.checkpoint import joined
from models.methods.diffews.generation import BETAS
from models.methods.diffews.parts import Parts, load_parts
from models.methods.diffews.prompt import PromptTokens
from models.methods.diffews.synthetic import random_parts
from models.methods.diffews.tokens import FOLDER as ENCODER
from models.methods.diffews.unet import build_unet
from models.weights.local import local
from models.weights.source import Weights, file_digest, fill, read_tensors
from models.weights.trained_on import record_of, told, united

TIMESTEPS = 1000
_PROMPT_TOKENS: PromptTokens = 77
# One call of the VAE sees at most the pixels of an image of this area, or one image.
_VAE_PIXELS = 512 * 512


def stock_parts(
    model: str,
    checkpoint: str | None,
    unet: str | None,
    random: str | None,
    dtype: torch.dtype,
    *,
    option: str = "checkpoint",
    trial: str = "random=tiny",
) -> Parts:
    """The parts of a Stable Diffusion folder, or random ones of the tiny size.

    Args:
        model: who asks, for messages.
        checkpoint: a folder in diffusers' layout; a DiffewS is one too.
        unet: the U-Net in its place: a folder, or a file of weights alone (CleanDIFT's are such),
            which must fit the checkpoint's U-Net to the last name.
        random: any text asks for random weights.
        dtype: of the weights.
        option: what the model calls its option for `checkpoint`, for messages.
        trial: the option that asks for random weights, likewise.

    Raises:
        ModelError: if there is no source or two, or something is missing or does not fit.
    """
    if random is not None:
        if checkpoint is not None or unet is not None:
            raise ModelError(f"{model}: give the option checkpoint or random, not both")
        return random_parts("tiny", 0, 2, dtype)
    folder = None if checkpoint is None else local(checkpoint)
    if folder is None:
        lacks = "has no weights" if checkpoint is None else f"finds no folder {checkpoint}"
        raise ModelError(
            f"{model} {lacks}: give a folder of Stable Diffusion in diffusers' layout (vae, unet, "
            f"text_encoder) as the option {option}=DIR, or {trial} to try it without"
        )
    apart = Path(unet) if unet is not None else None
    if apart is None or not apart.is_file():
        return load_parts(folder, apart, tokens=_PROMPT_TOKENS, dtype=dtype)
    parts = load_parts(folder, tokens=_PROMPT_TOKENS, dtype=dtype)
    tensors = {name: tensor.to(dtype) for name, tensor in read_tensors(apart).items()}
    weights = Weights(tensors, apart.name, file_digest(apart))
    with torch.device("meta"):
        module = build_unet(parts.unet_config)
    fill(module, weights, name=f"the U-Net of {folder.name}")
    module.requires_grad_(False).eval()
    # What the checkpoint was trained on says nothing of weights that replace its own.
    encoder = folder / ENCODER
    return replace(
        parts,
        unet=module,
        digest=joined([str(parts.digest), weights.digest]),
        trained=record_of(apart.parent),
        trained_on=united((*told(apart), *(told(encoder) if encoder.is_dir() else ()))),
    )


def retained(timesteps: int = TIMESTEPS) -> Tensor:
    """ᾱ, the share of an image's variance left at each timestep of Stable Diffusion: float64."""
    start, end = (beta**0.5 for beta in BETAS["sd"])
    betas = torch.linspace(start, end, timesteps, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)


def noised(latents: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """√ᾱ·latents + √(1-ᾱ)·noise; both ...×C×h×w."""
    return latents * math.sqrt(alpha) + noise * math.sqrt(1 - alpha)


def seeded_noise(shape: tuple[int, ...], seed: int, like: Tensor) -> Tensor:
    """Standard normal noise, drawn on the CPU: the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(like)


def encoded(parts: Parts, images: Tensor) -> Tensor:
    """Scaled mean latents of images in -1..1, B×3×H×W: B×C×h×w."""
    vae, pixels = parts.vae, images.shape[2] * images.shape[3]
    chunks = torch.split(images, max(1, _VAE_PIXELS // pixels))
    latents = torch.cat([vae.encode(chunk).latent_dist.mode() for chunk in chunks])
    return latents * float(vae.config.scaling_factor)


def decoded(parts: Parts, latents: Tensor) -> Tensor:
    """Images of scaled latents, nominally -1..1: B×3×H×W."""
    vae, pixels = parts.vae, latents.shape[2] * latents.shape[3] * parts.patch**2
    chunks = torch.split(latents / float(vae.config.scaling_factor), max(1, _VAE_PIXELS // pixels))
    return torch.cat([vae.decode(chunk).sample for chunk in chunks])
