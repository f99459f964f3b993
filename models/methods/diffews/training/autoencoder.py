"""The first stage: a VAE for images and for the black and white images that masks become."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIRST_LOGVAR = -8.0
_COLOUR = 3.0  # weight of an error in colour beside one in brightness


class AutoencoderLoss(nn.Module):
    """Squared error of the reconstruction, and a small pull of the latents to a standard normal.

    Those are terms of Stable Diffusion's autoencoder (arXiv 2112.10752, appendix G), without its
    perceptual and adversarial ones. Two are added that let a small network learn colours within
    minutes: an error in colour weighs more than one in brightness, and the first three channels
    of a latent are drawn to the mean colour of its patch.
    """

    def __init__(self, vae: Any, kl_weight: float = 1e-6) -> None:
        super().__init__()
        self.vae, self.kl_weight = vae, kl_weight

    @staticmethod
    def begin(vae: Any) -> None:
        """Give an untrained VAE latents of unit spread and little noise, in place.

        As initialised, its latents are a sixteenth of that, and drown in their noise.
        """
        half = vae.config.latent_channels
        vae.encoder.conv_out.weight.data *= 16
        vae.quant_conv.weight.data[half:] = 0
        vae.quant_conv.bias.data[half:] = _FIRST_LOGVAR

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss.

        Args:
            batch: `images`, B×3×H×W in -1..1, and `noise`, as large as their latents.
        """
        images, noise = batch["images"], batch["noise"]
        posterior = self.vae.encode(images).latent_dist
        mean = posterior.mean
        error = self.vae.decode(mean + posterior.std * noise).sample - images
        colour = error - error.mean(1, keepdim=True)
        pooled = F.adaptive_avg_pool2d(images, mean.shape[2:])
        loss: Tensor = (
            error.square().mean()
            + _COLOUR * colour.square().mean()
            + (mean[:, :3] - pooled).abs().mean()
            + self.kl_weight * posterior.kl().mean() / noise[0].numel()
        )
        return loss


@torch.no_grad()
def latent_scale(vae: Any, images: Iterable[Tensor]) -> float:
    """The `scaling_factor` with which the latents of batches of images in -1..1 have variance 1."""
    device = next(vae.parameters()).device
    latents = [vae.encode(batch.to(device)).latent_dist.mean for batch in images]
    return 1.0 / float(torch.cat(latents).std())
