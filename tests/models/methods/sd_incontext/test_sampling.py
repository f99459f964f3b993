"""Schedule, inversion and AdaIN against diffusers and by their laws."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from models.methods.sd_incontext.inversion import adapted, sampling_steps, trajectory


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("count", [1, 7, 50])
def test_a_step_is_diffusers_with_eta_one(prediction: str, count: int) -> None:
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        prediction_type=prediction,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(count)
    steps = sampling_steps(count, prediction)
    assert [step.timestep for step in steps] == scheduler.timesteps.tolist()
    # diffusers takes the step before as the timestep minus 1000 // count.
    if 1000 % count:
        return
    latents, output, noise = normal(1, 4, 8, 8), normal(1, 4, 8, 8, seed=1), normal(1, 4, 8, 8)
    for step in steps:
        expected = scheduler.step(
            output, step.timestep, latents, eta=1.0, variance_noise=noise
        ).prev_sample
        found = step.mean(latents, output) + step.spread * noise
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_sampling_with_the_inverted_noises_gives_the_image(prediction: str) -> None:
    steps = sampling_steps(9, prediction)
    clean = normal(2, 4, 8, 8, seed=2)
    path = trajectory(clean, steps, 5)
    current = path[0]

    def network(latents: Tensor) -> Tensor:
        return torch.tanh(latents.roll(1, 2)) * 0.5

    for index, step in enumerate(steps[:-1]):
        noise = path[index + 1] - step.mean(path[index], network(path[index]))
        current = step.mean(current, network(current)) + noise
        torch.testing.assert_close(current, path[index + 1], rtol=1e-4, atol=1e-4)


def test_each_step_has_noise_of_its_own_alike_in_a_batch() -> None:
    path = trajectory(torch.zeros(2, 4, 8, 8), sampling_steps(3, "epsilon"), 1)
    assert torch.equal(path[0][0], path[0][1])
    unit = [p[0] / p[0].std() for p in path[:3]]
    assert abs(float((unit[0] * unit[1]).mean())) < 0.2
    assert torch.equal(path[3], torch.zeros(2, 4, 8, 8))


def test_adain_gives_mean_and_deviation() -> None:
    like = normal(2, 3, 4, 8, 8, seed=1) * 3 + 5
    found = adapted(normal(2, 4, 8, 8), like)
    torch.testing.assert_close(found.mean((2, 3)), like.mean((3, 4)).mean(1))
    torch.testing.assert_close(found.std((2, 3)), like.std((3, 4)).mean(1))
    own = normal(1, 4, 8, 8)
    torch.testing.assert_close(adapted(own, own[:, None]), own, rtol=1e-4, atol=1e-5)
