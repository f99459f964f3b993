import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.geometry import Squash
from models.methods.diffews.scoring import Rule, Scoring, margins

pixels = st.integers(0, 2**32 - 1).map(
    lambda seed: torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(seed))
)


def authors_masks(decoded: torch.Tensor) -> np.ndarray:
    """The rule of the reference cases' README, written down once more in numpy."""
    images = ((decoded.clamp(-1, 1) + 1) / 2 * 255).numpy().astype(np.uint8)
    bright = images.astype(np.float32) / 255
    return np.stack([b.mean(0) > np.float32(0.25) * b.max() for b in bright])


@given(pixels, st.sampled_from([0.05, 0.5, 3.0]))
def test_the_margin_has_the_sign_of_the_authors_rule(decoded: torch.Tensor, gain: float) -> None:
    scores = margins(decoded * gain - 0.6, 0.25, "relative", "exact")
    assert np.array_equal((scores > 0).numpy(), authors_masks(decoded * gain - 0.6))


def test_a_pixel_at_the_threshold_is_background() -> None:
    # The largest value is 252/255; a mean of 63/255 is a quarter of it.
    image = torch.tensor([252, 63, 64]).expand(1, 3, 1, 3) / 255 * 2 - 1 + 1e-4
    scores = margins(image, 0.25, "relative", "exact")
    assert (scores > 0).tolist() == [[[True, False, True]]]


def test_the_threshold_is_each_images_own() -> None:
    bright = torch.full((3, 4, 4), 1.0)
    dim = torch.full((3, 4, 4), -0.8)  # a tenth of the range: above a quarter of its own maximum
    scores = margins(torch.stack([bright, dim]), 0.25, "relative", "exact")
    assert (scores > 0).all()
    assert not (margins(dim[None], 0.25, "absolute", "exact") > 0).any()


def test_absolute_threshold_and_truncation() -> None:
    level = torch.full((1, 3, 2, 2), 0.1 * 255.7 / 255 * 2 - 1)  # 25.57 of 255: truncated to 25
    assert not (margins(level, 0.1, "absolute", "exact") > 0).any()
    assert (margins(level, 0.1, "absolute", "float") > 0).all()


@pytest.mark.parametrize("value", [5.0, -5.0])
def test_decoded_values_are_clipped(value: float) -> None:
    scores = margins(torch.full((1, 3, 2, 2), value), 0.25, "absolute", "exact")
    assert scores.unique().tolist() == [0.75 if value > 0 else -0.25]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rule", ["relative", "absolute"])
@pytest.mark.parametrize("scoring", ["exact", "float"])
def test_what_is_not_finite_is_no_empty_mask(value: float, rule: Rule, scoring: Scoring) -> None:
    decoded = torch.zeros(2, 3, 2, 2)
    decoded[1, 1, 0, 1] = value
    scores = margins(decoded, 0.25, rule, scoring)
    assert scores[0].isfinite().all() and not scores[1, 0, 1].isfinite()


def test_margins_can_be_resized_before_the_decision() -> None:
    decoded = torch.full((1, 3, 8, 8), -1.0)
    decoded[..., 4:] = 1.0
    scores = margins(decoded, 0.25, "relative", "exact")
    masks = Squash(8).scores(scores, (8, 8), (16, 24)) > 0
    assert masks.shape == (1, 16, 24)
    assert masks[..., 12:].all() and not masks[..., :10].any()
