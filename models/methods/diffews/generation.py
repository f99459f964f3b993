"""How generation becomes mask prediction (`Design.generation`), in training and at test time."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.methods.diffews.design import Design

# The one step runs at timestep 1 with all betas 1: the predicted x0 is minus the output.
TIMESTEP = 1

BETAS = {"sd": (0.00085, 0.012), "strong": (0.0272, 0.384)}
_ONE_STEP = (1.0, 1.0)


def schedule_config(design: Design) -> Mapping[str, Any]:
    """The `scheduler_config.json` of a checkpoint."""
    one_step = design.generation == "oi2m"
    start, end = _ONE_STEP if one_step else BETAS[design.noise_schedule]
    return {
        "_class_name": "DDIMScheduler",
        "beta_start": start,
        "beta_end": end,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading" if one_step else "trailing",
        "trained_betas": None,
    }


class Generation:
    """One design's way from a query's latent to its mask's.

    `oi2m`: one step from the image latent, which is all the U-Net sees. `mi2m`: the image latent
    takes the noise's part, z_t = √ᾱ_t·z_mask + √(1-ᾱ_t)·z_image, and sampling starts from it.
    `mn2m`: Gaussian noise, with the image latent as four further input channels.

    Sampling ends at timestep 0, not beyond it, as Stable Diffusion's does (`set_alpha_to_one` is
    False). √(1-ᾱ_0) of the start stays in the result, with `mi2m` so of the image: 3%, or 16% with
    the strong betas.
    """

    def __init__(self, design: Design) -> None:
        self._kind = design.generation
        if self._kind != "oi2m":
            from diffusers import DDIMScheduler

            self._scheduler = DDIMScheduler.from_config(schedule_config(design))
            # The strong betas leave nothing of the mask after some hundred steps; diffusers divides
            # one such product of alphas by another, which must not be 0 / 0.
            self._scheduler.alphas_cumprod.clamp_(min=torch.finfo(torch.float32).tiny)

    @property
    def timesteps(self) -> int:
        """How many timesteps training draws from; 1 for `oi2m`."""
        if self._kind == "oi2m":
            return 1
        return int(self._scheduler.config.num_train_timesteps)

    def training_pair(
        self, images: Tensor, masks: Tensor, noise: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | int]:
        """What the U-Net reads, what it should answer, and the timesteps it is told.

        Args:
            images: latents of the queries, B×4×h×w.
            masks: latents of what should be shown, the same.
            noise: standard normal, the same; `mn2m` alone uses it.
            timesteps: B, in 0..`timesteps`-1.
        """
        if self._kind == "oi2m":
            return images, -masks, TIMESTEP
        start = images if self._kind == "mi2m" else noise
        noisy = self._scheduler.add_noise(masks, start, timesteps)
        target = self._scheduler.get_velocity(masks, start, timesteps)
        return self._input(noisy, images), target, timesteps

    def generate(
        self, images: Tensor, run: Callable[[Tensor, Tensor | int], Tensor], steps: int, seed: int
    ) -> Tensor:
        """The masks' latents of queries' latents B×4×h×w.

        Args:
            images: of the queries.
            run: the U-Net's output from an input and a timestep.
            steps: DDIM steps of `mi2m` and `mn2m`.
            seed: of the noise of `mn2m`, which is the same for every query, as the authors have
                it.
        """
        if self._kind == "oi2m":
            return -run(images, TIMESTEP)
        latents = images
        if self._kind == "mn2m":
            noise = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed))
            latents = noise.to(images).expand_as(images)
        self._scheduler.set_timesteps(steps)
        for step in self._scheduler.timesteps:
            velocity = run(self._input(latents, images), step)
            latents = self._scheduler.step(velocity, step, latents).prev_sample
        return latents

    def _input(self, noisy: Tensor, images: Tensor) -> Tensor:
        return torch.cat([noisy, images], 1) if self._kind == "mn2m" else noisy
