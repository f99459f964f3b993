"""The second stage: the U-Net as a generator of images, without text."""

from typing import Any

import torch
from torch import Tensor, nn

# Stable Diffusion 2.1's schedule.
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


class DenoiserLoss(nn.Module):
    """Mean squared error of the predicted velocity (arXiv 2202.00512) of noised latents."""

    def __init__(self, unet: Any, vae: Any, prompt: Tensor) -> None:
        super().__init__()
        from diffusers import DDPMScheduler

        self.unet = unet
        self._vae = (vae,)  # in a tuple: its weights are no part of this module
        self._prompt = prompt
        self._noising = DDPMScheduler.from_config(SCHEDULE)

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return int(self._noising.config.num_train_timesteps)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss.

        Args:
            batch: `images` (B×3×H×W in -1..1), `noise` (as large as their latents) and
                `timesteps` (B).
        """
        vae = self._vae[0]
        with torch.no_grad():
            latents = vae.encode(batch["images"]).latent_dist.mean * vae.config.scaling_factor
        noise, steps = batch["noise"], batch["timesteps"]
        noisy = self._noising.add_noise(latents, noise, steps)
        text = self._prompt.to(noisy.device).expand(len(noisy), -1, -1)
        predicted = self.unet(noisy, steps, text).sample
        target = self._noising.get_velocity(latents, noise, steps)
        return nn.functional.mse_loss(predicted.float(), target.float())


def sample_latents(unet: Any, noise: Tensor, prompt: Tensor, steps: int = 20) -> Tensor:
    """Generate scaled latents from noise (B×C×h×w) with DDIM."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config({**SCHEDULE, "timestep_spacing": "trailing"})
    scheduler.set_timesteps(steps)
    latents = noise
    text = prompt.to(noise.device).expand(len(noise), -1, -1)
    for step in scheduler.timesteps:
        velocity = unet(latents, step, text).sample
        latents = scheduler.step(velocity, step, latents).prev_sample
    return latents
