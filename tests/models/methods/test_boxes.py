"""The best box against every box, and never below the tight one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.methods.boxes import Box, best_box


def iou(mask: np.ndarray, box: Box) -> float:
    top, bottom, left, right = box
    inside = mask[top:bottom, left:right].sum()
    return inside / (mask.sum() + (bottom - top) * (right - left) - inside)


def tight(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_small_masks_get_the_best_of_all_boxes(mask: np.ndarray):
    box = best_box(mask)
    if not mask.any():
        assert box is None
        return
    spans = [list(itertools.combinations(range(side + 1), 2)) for side in mask.shape]
    best = max(iou(mask, (*rows, *columns)) for rows in spans[0] for columns in spans[1])
    assert iou(mask, box) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_large_masks_get_no_less_than_the_tight_box(seed: int):
    generator = np.random.default_rng(seed)
    mask = np.zeros((150, 200), dtype=bool)
    for _ in range(generator.integers(1, 5)):
        top, left = generator.integers(0, 100, 2)
        height, width = generator.integers(3, 60, 2)
        mask[top : top + height, left : left + width] |= generator.random() < 0.9
    if mask.any():
        assert iou(mask, best_box(mask)) >= iou(mask, tight(mask)) - 1e-12


def test_a_rectangle_of_any_size_is_its_own_box():
    mask = np.zeros((256, 256), dtype=bool)
    mask[13:212, 7:101] = True
    assert best_box(mask) == (13, 212, 7, 101)


def test_a_stray_pixel_does_not_stretch_the_box():
    """Edges are found between the coarse grid's lines, too."""
    mask = np.zeros((256, 256), dtype=bool)
    mask[20:91, 30:83] = True
    mask[250, 250] = True
    assert best_box(mask) == (20, 91, 30, 83)
