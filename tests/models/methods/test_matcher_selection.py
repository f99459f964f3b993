"""Matcher's choice among masks with few of their distances solved, against that with all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.methods.matcher import PRESETS
from models.methods.matcher.selection import chosen, foreground_distances, ranked
from models.methods.matcher.transport import Distances, earth_movers_distance

FOREGROUND, ACROSS = 12, 7  # patches of the supports' objects; the query has 7×7


def masks(seed: int, count: int) -> Tensor:
    """Patches of masks as SAM gives them, rectangles around a few places: bool count×49."""
    generator = np.random.default_rng(seed)
    places = generator.integers(ACROSS, size=(3, 2))
    patches = np.zeros((count, ACROSS, ACROSS), dtype=bool)
    for mask in patches:
        row, column = places[generator.integers(3)]
        above, left, height, width = generator.integers(4, size=4)
        mask[max(row - above, 0) : row + height + 1, max(column - left, 0) : column + width + 1] = 1
    return torch.from_numpy(patches).flatten(1)


def cosines(seed: int, ties: bool) -> Tensor:
    """Of features that change smoothly over the query, in tenths where there are to be ties."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(1, FOREGROUND, 3, 3, generator=generator) * 2 - 1
    values = torch.nn.functional.interpolate(maps, (ACROSS, ACROSS), mode="bilinear")
    return (values * 10).round() / 10 if ties else values


def case(seed: int, count: int, ties: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Purity and coverage of masks, the cosines, and the masks' patches."""
    generator = torch.Generator().manual_seed(seed)
    purity, coverage = torch.randint(1, 4, (2, count), generator=generator) / 3
    return purity, coverage, cosines(seed, ties)[0].flatten(1), masks(seed, count)


def all_solved(values: Tensor, patches: Tensor) -> Distances:
    """Every distance solved by itself, before any is asked for."""
    cost = ((1 - values) / 2).double().numpy()
    exact = [earth_movers_distance(cost[:, own])[0] for own in patches.numpy()]
    return Distances(np.array([exact]), np.eye(len(patches), dtype=bool))


@given(
    st.integers(0, 9999),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from(sorted(PRESETS)),
    st.integers(1, 12),
)
@settings(max_examples=80, deadline=None)
def test_masks_and_scores_are_those_with_every_distance(
    seed: int, count: int, ties: bool, preset: str, merged: int
) -> None:
    purity, coverage, values, patches = case(seed, count, ties)
    own = replace(PRESETS[preset], merged=merged)
    found = chosen(purity, coverage, lambda some: foreground_distances(values, patches[some]), own)
    expected = chosen(purity, coverage, lambda some: all_solved(values, patches[some]), own)
    assert found.tolist() == expected.tolist()

    few, every = foreground_distances(values, patches), all_solved(values, patches)
    scores, order = ranked(few, purity, merged, own)
    exact, whole = ranked(every, purity, count, own)
    assert order[:merged].tolist() == whole[:merged].tolist()
    torch.testing.assert_close(scores[:merged], exact[:merged], atol=1e-9, rtol=0)
    assert (scores[merged:] >= exact[merged:] - 1e-9).all()


def test_few_of_many_masks_are_solved() -> None:
    purity, _, values, patches = case(5, 154, ties=False)
    few = foreground_distances(values, patches)
    ranked(few, purity, 10, PRESETS["fss"])
    different = len(torch.unique(patches[torch.from_numpy(few.solved)], dim=0))
    assert different < len(torch.unique(patches, dim=0)) / 2


@pytest.mark.parametrize("preset", ["fss", "parts"])
def test_equal_scores_keep_the_masks_order(preset: str) -> None:
    patches = torch.ones(6, 49, dtype=torch.bool)
    own = replace(PRESETS[preset], merged=4)
    _, _, values, _ = case(0, 6, ties=False)
    ones = torch.ones(6)
    found = chosen(ones, ones, lambda some: foreground_distances(values, patches[some]), own)
    assert found.tolist() == [0, 1, 2, 3]
