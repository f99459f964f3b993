"""Several supports' keys thinned to as many as one has."""

import pytest
import torch

from models.catalog import load_model
from models.errors import ModelError
from models.methods.diffews.attention import Kept
from models.methods.diffews.subsampling import Inside, subsampled
from tests.models.methods.diffews.conftest import make_scene

TOKENS = (16, 4, 4)  # of three layers


def support(number: int) -> tuple[list[Kept], Inside]:
    """Keys that say whose and which they are, values that are minus those, and odd ones inside."""
    keys = [(100.0 * number + torch.arange(float(tokens)))[:, None] for tokens in TOKENS]
    inside = {tokens: torch.arange(tokens) % 2 == 1 for tokens in set(TOKENS)}
    return [(key, -key) for key in keys], inside


def test_a_random_part_of_all_supports_stands_for_one() -> None:
    rows = [[support(3 * row + shot) for shot in range(3)] for row in range(2)]
    kept, inside = ([[one[part] for one in row] for row in rows] for part in range(2))
    few, masks = subsampled(kept, inside, seed=5)
    for row, (chosen, mask) in enumerate(zip(few, masks, strict=True)):
        assert len(chosen) == len(mask) == 1
        for (keys, values), tokens in zip(chosen[0], TOKENS, strict=True):
            names = keys.flatten().long()
            assert len(set(names.tolist())) == tokens
            assert set((names // 100).tolist()) <= {3 * row, 3 * row + 1, 3 * row + 2}
            assert torch.equal(values, -keys)
            assert torch.equal(mask[0][tokens], names % 2 == 1)
        assert len(set((chosen[0][0][0] // 100).flatten().tolist())) == 3
        assert torch.equal(chosen[0][1][0], chosen[0][2][0])
    assert torch.equal(few[1][0][0][0], few[0][0][0][0] + 300)
    other, _ = subsampled(kept, inside, seed=6)
    assert not torch.equal(other[0][0][0][0], few[0][0][0][0])


def test_one_support_stays_whole() -> None:
    kept, inside = support(1)
    assert subsampled([[kept]], [[inside]], seed=0) == ([[kept]], [[inside]])


@pytest.mark.parametrize("injection", ["concatenation", "attention_mask"])
def test_the_option_reaches_several_supports_and_not_one(injection: str) -> None:
    given = {"random": "tiny", "mask_injection": injection}
    whole = load_model("diffews", given)
    thin = load_model("diffews", {**given, "subsample_supports": True})
    scene = make_scene(whole, 3)
    one, two = (
        [model.mask_latents(scene.latents[:1], [scene.supports[1:end]]) for model in (whole, thin)]
        for end in (2, 3)
    )
    assert torch.equal(*one)
    assert not torch.allclose(*two)


def test_there_are_no_keys_to_thin_among_tokens() -> None:
    choices = {"interaction": "tokenized_cross_attention", "mask_injection": "addition"}
    with pytest.raises(ModelError, match="subsample_supports thins the keys of self-attention"):
        load_model("diffews", {"random": "tiny", "subsample_supports": True, **choices})
