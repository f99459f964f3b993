"""Prompts drawn from masks: deterministic, inside what they stand for, and what their rules say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from benchmarks.evaluation.prompts import NOISE, RULES, Mask, prompted
from benchmarks.protocols.catalog import PROMPTS, get_protocol

MASKS = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def blob(size: int = 64) -> Mask:
    """Two discs of different size, the larger one with a tail."""
    rows, columns = np.ogrid[:size, :size]
    mask = (rows - 20) ** 2 + (columns - 24) ** 2 < 14**2
    mask |= (rows - 52) ** 2 + (columns - 52) ** 2 < 5**2
    mask[19:22, 24:60] = True
    return np.asarray(mask)


@settings(max_examples=60, deadline=None)
@given(mask=MASKS, rule=st.sampled_from(sorted(RULES)))
def test_a_prompt_is_there_and_lies_where_its_rule_says(mask: Mask, rule: str) -> None:
    before = mask.copy()
    drawn = prompted(mask, rule)
    assert np.array_equal(mask, before)
    assert np.array_equal(drawn, prompted(mask, rule))
    assert drawn.dtype == bool and drawn.shape == mask.shape
    assert drawn.any() == mask.any()
    if rule in ("point", "scribble", "eroded"):
        assert not (drawn & ~mask).any()
    else:
        assert not (mask & ~drawn).any()


@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_a_box_is_the_tight_one(mask: Mask) -> None:
    drawn = prompted(mask, "box")
    if mask.any():
        rows, columns = np.nonzero(mask)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert drawn.sum() == height * width
        assert drawn[rows.min(), columns.min()] and drawn[rows.max(), columns.max()]


def test_the_point_is_the_centre_of_the_largest_inscribed_disc() -> None:
    drawn = prompted(blob(), "point")
    row, column = (float(v) for v in ndimage.center_of_mass(drawn))
    assert (round(row), round(column)) == (20, 24)
    assert drawn.sum() == 5  # a radius of one pixel at this size


def test_the_scribble_follows_the_tail_of_the_largest_part_alone() -> None:
    drawn = prompted(blob(), "scribble")
    assert ndimage.label(drawn, np.ones((3, 3)))[1] == 1
    assert drawn[20, 50] and not drawn[45:60, 45:60].any()
    assert drawn.sum() < 0.25 * blob().sum()


@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_noise_changes_the_area_by_its_share(mask: Mask) -> None:
    area, rest = int(mask.sum()), int((~mask).sum())
    assert prompted(mask, "eroded").sum() == area - round(NOISE * area)
    assert prompted(mask, "dilated").sum() == area + min(round(NOISE * area), rest)


def test_noise_keeps_the_middle_and_stays_near() -> None:
    mask = blob()
    depth = ndimage.distance_transform_edt(mask)
    lost = mask & ~prompted(mask, "eroded")
    assert depth[lost].max() <= depth[prompted(mask, "eroded")].min()
    gained = prompted(mask, "dilated") & ~mask
    distance = ndimage.distance_transform_edt(~mask)
    assert distance[gained].max() <= distance[~prompted(mask, "dilated")].min()


def test_protocols_take_every_prompt() -> None:
    assert set(PROMPTS) == set(RULES)
    assert get_protocol("hsnet@512+box").prompt == "box"
    assert get_protocol("hsnet@512+box").recipe == "hsnet"
