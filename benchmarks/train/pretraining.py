"""The two stages before DiffewS: its VAE, and the U-Net as a generator of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.train.draw import noises
from benchmarks.train.images import ImagePool, ImageSample, stencilled
from benchmarks.train.pictures import save_grid
from benchmarks.train.trainable import Validation
from models.methods.diffews.parts import Parts, save_parts, write_vae
from models.methods.diffews.training.autoencoder import AutoencoderLoss, latent_scale
from models.methods.diffews.training.denoiser import DenoiserLoss, sample_latents

_SHOWN = 8
_MEASURED, _AT_ONCE = 64, 8  # the latter lest a validation needs more memory than a step


class VaeStage:
    """Trains a VAE on crops of unlabelled images."""

    def __init__(
        self, parts: Parts, pool: ImagePool, settings: Mapping[str, object], crop: int
    ) -> None:
        self._parts, self._pool, self._settings, self._crop = parts, pool, settings, crop
        self.objective: nn.Module = AutoencoderLoss(parts.vae.requires_grad_(True))
        self.frozen: Sequence[nn.Module] = ()

    def describe(self) -> Mapping[str, object]:
        """The dataset and the network."""
        images = len(self._pool.names)
        return {"stage": "vae", "images": images, "crop": self._crop, **self._settings}

    def draw(self, step: int, count: int) -> Sequence[ImageSample]:
        """Images of one step."""
        return self._pool.draw(step, count)

    def prefetch(self, samples: Sequence[ImageSample]) -> None:
        """Begin to decode the images of some samples."""
        self._pool.prefetch(samples)

    def collate(self, samples: Sequence[ImageSample]) -> dict[str, Tensor]:
        """Crops, some of them stencilled, and noise for their latents."""
        seeds = [sample.seed for sample in samples]
        images = stencilled(self._pool.pixels(samples, self._crop), seeds)
        return {"images": images, "noise": noises(seeds, latent_shape(self._parts, images))}

    def save(self, folder: Path) -> None:
        """Write `vae/`, its `scaling_factor` set to what gives latents unit variance."""
        images = torch.split(self._pool.pixels(self._pool.draw(0, _MEASURED)), _AT_ONCE)
        self._parts.vae.register_to_config(scaling_factor=latent_scale(self._parts.vae, images))
        write_vae(self._parts, folder)

    @torch.no_grad()
    def validate(self, pictures: Path) -> Validation:
        """Minus the error on a fixed batch; the picture has originals above reconstructions."""
        vae = self._parts.vae
        samples = self._pool.draw(0, _SHOWN)
        images = stencilled(self._pool.pixels(samples), [s.seed for s in samples])
        decoded = vae.decode(vae.encode(images.to(device_of(vae))).latent_dist.mean).sample.cpu()
        save_grid(pictures, [images, decoded.clamp(-1, 1)])
        return Validation(-float((decoded - images).abs().mean()), "minus L1")


class DenoiserStage:
    """Trains a U-Net to generate unlabelled images, as Stable Diffusion was."""

    def __init__(self, parts: Parts, pool: ImagePool, settings: Mapping[str, object]) -> None:
        self._parts, self._pool, self._settings = parts, pool, settings
        parts.vae.requires_grad_(False)
        self._loss = DenoiserLoss(parts.unet.requires_grad_(True), parts.vae, parts.prompt)
        self.objective: nn.Module = self._loss
        self.frozen: Sequence[nn.Module] = (parts.vae,)

    def describe(self) -> Mapping[str, object]:
        """The dataset, the network and its VAE."""
        vae = self._parts.vae_digest
        return {"stage": "unet", "images": len(self._pool.names), "vae": vae, **self._settings}

    def draw(self, step: int, count: int) -> Sequence[ImageSample]:
        """Images of one step."""
        return self._pool.draw(step, count)

    def prefetch(self, samples: Sequence[ImageSample]) -> None:
        """Begin to decode the images of some samples."""
        self._pool.prefetch(samples)

    def collate(self, samples: Sequence[ImageSample]) -> dict[str, Tensor]:
        """Images, noise for their latents and timesteps."""
        images = self._pool.pixels(samples)
        seeds = [sample.seed for sample in samples]
        return {
            "images": images,
            "noise": noises(seeds, latent_shape(self._parts, images)),
            "timesteps": torch.tensor([seed % self._loss.timesteps for seed in seeds]),
        }

    def save(self, folder: Path) -> None:
        """Write VAE, U-Net and prompt in Stable Diffusion's layout."""
        save_parts(self._parts, None, folder)

    @torch.no_grad()
    def validate(self, pictures: Path) -> Validation:
        """Minus the loss on fixed images; the picture has generated ones."""
        samples = self.draw(0, _MEASURED)
        pieces = [samples[at : at + _AT_ONCE] for at in range(0, _MEASURED, _AT_ONCE)]
        score = -fmean(float(self._loss(self._on_device(piece))) for piece in pieces)
        noise = self._on_device(samples[:_SHOWN])["noise"]
        latents = sample_latents(self._parts.unet, noise, self._parts.prompt)
        vae: Any = self._parts.vae
        images = vae.decode(latents / vae.config.scaling_factor).sample
        save_grid(pictures, [images.clamp(-1, 1).cpu()])
        return Validation(score, "minus loss")

    def _on_device(self, samples: Sequence[ImageSample]) -> dict[str, Tensor]:
        device = device_of(self._parts.unet)
        return {name: tensor.to(device) for name, tensor in self.collate(samples).items()}


def latent_shape(parts: Parts, images: Tensor) -> tuple[int, int, int]:
    """Of one image's latent."""
    patch = parts.patch
    return parts.vae.config.latent_channels, images.shape[2] // patch, images.shape[3] // patch


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device
