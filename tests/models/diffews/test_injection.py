import torch

from models.diffews.injection import OUTSIDE, outside_bias, token_grids, token_masks


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
