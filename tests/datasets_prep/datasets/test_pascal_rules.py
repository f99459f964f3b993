import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets_prep.datasets.pascal.rules import OSLSM_LEAST, PFENET_LEAST, grid_hits, kept_pairs
from datasets_prep.prepared.records import areas


def oslsm_sum(mask: NDArray[np.bool_]) -> int:
    """The rule as published: pad by 15 and to a multiple of 32, shrink to 1/32, sum."""
    height, width = (math.ceil((side + 30) / 32) * 32 for side in mask.shape)
    padded = np.zeros((height, width), dtype=int)
    padded[15 : 15 + mask.shape[0], 15 : 15 + mask.shape[1]] = mask
    total = 0
    for row in range(height // 32):
        for column in range(width // 32):
            # Centre of the output pixel in the input, halves rounded up.
            y, x = (math.floor((i + 0.5) * 32 - 0.5 + 0.5) for i in (row, column))
            total += padded[y, x]
    return total


@given(
    st.integers(1, 140), st.integers(1, 140), st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 40])
)
def test_grid_hits_are_the_published_rule(height: int, width: int, seed: int, block: int) -> None:
    random = np.random.RandomState(seed)
    coarse = random.choice([0, 1, 2, 20, 255], (height // block + 1, width // block + 1))
    labels = np.kron(coarse, np.ones((block, block))).astype(np.uint8)[:height, :width]
    expected = {
        value - 1: oslsm_sum(labels == value) for value in (1, 2, 20) if (labels == value).any()
    }
    assert grid_hits(labels) == {index: total for index, total in expected.items() if total}


def test_three_points_are_enough_for_oslsm_whatever_the_area() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[[1, 33], [1, 33]] = 5
    assert grid_hits(labels) == {4: 2}
    labels[97, 97] = 5
    assert grid_hits(labels) == {4: 3}
    assert kept_pairs(["a"], {"a": grid_hits(labels)}, OSLSM_LEAST) == [("a", 4)]


def test_a_large_mask_between_the_points_has_no_hits_but_passes_pfenet() -> None:
    labels = np.zeros((40, 100), np.uint8)
    labels[2:33, :] = 1
    assert grid_hits(labels) == {}
    assert kept_pairs(["a"], {"a": areas(labels)}, PFENET_LEAST) == [("a", 0)]


@pytest.mark.parametrize(("pixels", "kept"), [(2047, []), (2048, [("a", 2)])])
def test_pfenet_keeps_from_2048_pixels(pixels: int, kept: list[tuple[str, int]]) -> None:
    labels = np.full((64, 64), 255, np.uint8)
    labels.ravel()[:pixels] = 3
    assert kept_pairs(["a"], {"a": areas(labels)}, PFENET_LEAST) == kept


def test_pairs_follow_the_images_then_the_classes() -> None:
    sizes = {"b": {4: 3, 1: 9}, "a": {2: 5, 3: 1}}
    assert kept_pairs(["b", "a"], sizes, 3) == [("b", 1), ("b", 4), ("a", 2)]
