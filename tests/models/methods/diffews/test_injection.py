import pytest
import torch

from models.methods.diffews.design import Injection
from models.methods.diffews.injection import (
    OUTSIDE,
    composed,
    masked_latents,
    outside_bias,
    token_grids,
    token_masks,
)


@pytest.mark.parametrize(
    ("injection", "expected"),
    [
        ("multiplication", [-0.5, 0.5, -1.0]),
        ("addition", [0.25, 0.75, -0.25]),
        ("concatenation", [-0.5, 0.5, 0.5]),
    ],
)
def test_what_the_vae_sees_of_three_pixels(injection: Injection, expected: list[float]) -> None:
    """Two inside the mask and one outside it; black is -1 and white 1."""
    image = torch.tensor([-0.5, 0.5, 0.5]).expand(1, 3, 1, 3)
    seen = composed(image, torch.tensor([[[1.0, 1.0, 0.0]]]), injection)
    assert torch.equal(seen, torch.tensor(expected).expand(1, 3, 1, 3))


def test_latents_outside_the_mask_are_zero() -> None:
    latents = torch.arange(1.0, 9.0).view(1, 2, 2, 2)
    mask = torch.zeros(1, 4, 4)
    mask[0, 0, 2] = mask[0, 2, 0] = 1  # what the latents at (0, 1) and (1, 0) look at
    mask[0, 3, 3] = 1
    assert masked_latents(latents, mask).tolist() == [[[[0, 2], [3, 0]], [[0, 6], [7, 0]]]]


def test_grids_halve_and_round_up() -> None:
    assert token_grids((9, 12), 4) == [(9, 12), (5, 6), (3, 3), (2, 2)]


def test_masks_are_taken_by_nearest_from_the_full_size() -> None:
    mask = torch.zeros(1, 16, 32)
    mask[0, 8, 16] = 1  # what the second row and third column of the 2×4 grid look at
    inside = token_masks(mask, [(2, 4), (1, 2)])[0]
    assert inside[8].nonzero().flatten().tolist() == [6]
    assert not inside[2].any()


def test_own_keys_are_free_and_supports_follow_their_masks() -> None:
    first = {2: torch.tensor([True, False])}
    second = {2: torch.tensor([False, False])}
    bias = outside_bias([[first, second], [second, first]], torch.float32)[2]
    assert bias.shape == (2, 1, 1, 6)
    o = OUTSIDE
    assert bias.flatten(1).tolist() == [[0, 0, 0, o, o, o], [0, 0, o, o, 0, o]]
