"""The first stage: a VAE for images and for the black and white images that masks become."""

from typing import Any

import torch
from torch import Tensor, nn


_FIRST_LOGVAR = -6.0


class AutoencoderLoss(nn.Module):
    """Reconstruction and a small pull of the latents towards a standard normal.

    The terms of Stable Diffusion's autoencoder (arXiv 2112.10752, appendix G) without its
    perceptual and adversarial ones.
    """

    def __init__(self, vae: Any, kl_weight: float = 1e-4) -> None:
        super().__init__()
        self.vae, self.kl_weight = vae, kl_weight

    @staticmethod
    def begin(vae: Any) -> None:
        """Let an untrained VAE's latents start nearly without noise, or it drowns them at first."""
        half = vae.config.latent_channels
        vae.quant_conv.bias.data[half:] = _FIRST_LOGVAR

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss.

        Args:
            batch: `images`, B×3×H×W in -1..1, and `noise`, as large as their latents.
        """
        images, noise = batch["images"], batch["noise"]
        posterior = self.vae.encode(images).latent_dist
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        error = (decoded - images).abs().mean() + (decoded - images).square().mean()
        pull = posterior.kl().mean() / noise[0].numel()
        return error + self.kl_weight * pull


@torch.no_grad()
def latent_scale(vae: Any, images: Tensor) -> float:
    """The `scaling_factor` with which the latents of `images` (-1..1) have unit variance."""
    return 1.0 / float(vae.encode(images).latent_dist.mean.std())
