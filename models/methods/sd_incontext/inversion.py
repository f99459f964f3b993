"""Edit-friendly DDPM inversion: noises with which a given image is what sampling ends in.

Huberman-Spiegelglas et al., arXiv 2304.06140: latents are noised to each timestep independently,
and what a sampling step would have to add to get from one to the next is that step's noise.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.methods.diffews.stock import TIMESTEPS, noised, retained, seeded_noise

Prediction = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class Step:
    """One sampling step.

    Attributes:
        timestep: where it starts, 0..999.
        alpha: ᾱ there.
        after: ᾱ where it ends; 1 after the last step.
        prediction: what the U-Net predicts.
    """

    timestep: int
    alpha: float
    after: float
    prediction: Prediction

    @property
    def spread(self) -> float:
        """Deviation of the noise that the step adds (DDPM's, which is DDIM's with η = 1)."""
        return math.sqrt((1 - self.after) / (1 - self.alpha) * (1 - self.alpha / self.after))

    def mean(self, latents: Tensor, output: Tensor) -> Tensor:
        """Where the step leads without noise, from `latents` and the U-Net's `output` on them."""
        image, noise = self._split(latents, output)
        rest = max(0.0, 1 - self.after - self.spread**2)
        return image * math.sqrt(self.after) + noise * math.sqrt(rest)

    def _split(self, latents: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """The image and the noise that the U-Net sees in `latents`."""
        signal, noise = math.sqrt(self.alpha), math.sqrt(1 - self.alpha)
        if self.prediction == "epsilon":
            return (latents - noise * output) / signal, output
        return signal * latents - noise * output, signal * output + noise * latents


def sampling_steps(count: int, prediction: Prediction) -> list[Step]:
    """`count` steps, evenly spaced, from timestep 999 to the clean latent."""
    places = [round((count - index) * TIMESTEPS / count) - 1 for index in range(count)]
    alphas = [*(float(retained()[place]) for place in places), 1.0]
    return [
        Step(place, alphas[index], alphas[index + 1], prediction)
        for index, place in enumerate(places)
    ]


def trajectory(latents: Tensor, steps: list[Step], seed: int) -> list[Tensor]:
    """Latents B×C×h×w noised to the start of each step, and at last as they are.

    The noises are those of `seed`, alike for all of the batch, so that batches do not matter.
    """
    shape = tuple(latents.shape[1:])
    noises = seeded_noise((len(steps), *shape), seed, latents).unbind(0)
    pairs = zip(steps, noises, strict=True)
    return [*(noised(latents, noise, step.alpha) for step, noise in pairs), latents]


def adapted(latents: Tensor, like: Tensor) -> Tensor:
    """AdaIN: `latents` B×C×h×w with each channel's mean and deviation of `like`.

    Args:
        latents: what is changed.
        like: B×K×C×h×w; the statistics of the K are averaged.
    """
    mean, spread = like.mean((3, 4)).mean(1), like.std((3, 4)).mean(1)
    own_mean, own_spread = latents.mean((2, 3)), latents.std((2, 3))
    scale = spread / own_spread.clamp_min(torch.finfo(latents.dtype).tiny)
    moved = (latents - own_mean[..., None, None]) * scale[..., None, None]
    return moved + mean[..., None, None]
