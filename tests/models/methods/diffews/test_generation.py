"""Several denoising steps against their closed forms, from the paper's two ranges of betas."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.methods.diffews import Design
from models.methods.diffews.generation import Generation

# Of arXiv 2410.02369, with Stable Diffusion's way from the first beta to the last.
RANGES = {"sd": (0.00085, 0.012), "strong": (0.0272, 0.384)}
STEPS: list[dict[str, Any]] = [
    {"generation": generation, "noise_schedule": schedule}
    for generation in ("mi2m", "mn2m")
    for schedule in RANGES
]
steps = pytest.mark.parametrize("choices", STEPS, ids=["-".join(c.values()) for c in STEPS])


def roots(schedule: str) -> tuple[np.ndarray, np.ndarray]:
    """The square roots of ᾱ and of 1 - ᾱ, by timestep."""
    first, last = np.sqrt(RANGES[schedule])
    kept = np.cumprod(1 - np.linspace(first, last, 1000) ** 2)
    return np.sqrt(kept), np.sqrt(1 - kept)


def latents(seed: int) -> Tensor:
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@steps
def test_training_blends_mask_and_image_or_noise(choices: dict[str, Any]) -> None:
    images, masks, noise = latents(1), latents(2), latents(3)
    times = torch.tensor([0, 500, 999])
    kept, lost = (
        torch.tensor(root[times], dtype=torch.float32).view(3, 1, 1, 1)
        for root in roots(choices["noise_schedule"])
    )
    start = images if choices["generation"] == "mi2m" else noise
    blended = kept * masks + lost * start
    if choices["generation"] == "mn2m":
        blended = torch.cat([blended, images], 1)
    found, target, told = Generation(Design(**choices)).training_pair(images, masks, noise, times)
    torch.testing.assert_close(found, blended, atol=1e-4, rtol=0)
    torch.testing.assert_close(target, kept * start - lost * masks, atol=1e-4, rtol=0)
    assert told is times


@steps
@pytest.mark.parametrize("count", [4, 10])
def test_a_perfect_velocity_leads_to_the_mask(choices: dict[str, Any], count: int) -> None:
    """To the mask at timestep 0, that is: Stable Diffusion's last step does not go beyond it."""
    images, masks = latents(1), latents(2)
    kept, lost = roots(choices["noise_schedule"])
    told: list[int] = []
    begun: list[Tensor] = []

    def start_of(noisy: Tensor, step: int) -> Tensor:
        return (noisy - kept[step] * masks) / lost[step]

    def perfect(read: Tensor, step: Tensor | int) -> Tensor:
        noisy, beside = read[:, :4], read[:, 4:]
        assert torch.equal(beside, images if choices["generation"] == "mn2m" else beside[:, :0])
        told.append(int(step))
        begun.append(noisy)
        return kept[told[-1]] * start_of(noisy, told[-1]) - lost[told[-1]] * masks

    found = Generation(Design(**choices)).generate(images, perfect, count, seed=5)
    assert told == list(range(999, 0, -1000 // count))
    if choices["generation"] == "mi2m":
        assert torch.equal(begun[0], images)
    expected = kept[0] * masks + lost[0] * start_of(begun[0], 999)
    torch.testing.assert_close(found, expected.float(), atol=2e-3, rtol=0)
