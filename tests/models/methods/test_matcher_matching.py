"""Matcher's assignments against brute force, its transport against the whole linear program."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from models.methods.matcher.matching import assigned, foreground_patches, matches
from models.methods.matcher.transport import Distances, earth_movers_distance


def full_emd(cost: NDArray[np.float64]) -> float:
    """The transport problem's linear program over all pairs."""
    rows, columns = cost.shape
    sums = np.zeros((rows + columns, rows, columns))
    for i in range(rows):
        sums[i, i] = 1
    for j in range(columns):
        sums[rows + j, :, j] = 1
    mass = [1 / rows] * rows + [1 / columns] * columns
    plan = linprog(cost.ravel(), A_eq=sums.reshape(rows + columns, -1), b_eq=mass)
    return float(plan.fun)


@given(st.integers(1, 4), st.integers(4, 5), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_assignment_is_the_best_of_all(rows: int, columns: int, seed: int) -> None:
    values = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    best = max(
        sum(float(values[i, j]) for i, j in enumerate(order))
        for order in permutations(range(columns), rows)
    )
    for table in (values, values.T):
        first, second = assigned(table)
        assert len(first) == rows == len(set(second.tolist()))
        assert float(table[first, second].sum()) == pytest.approx(best, abs=1e-5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 999), st.booleans())
@settings(max_examples=25, deadline=None)
def test_transport_is_that_of_the_whole_program(
    rows: int, columns: int, seed: int, ties: bool
) -> None:
    cost = np.random.default_rng(seed).random((rows, columns))
    cost = np.round(cost, 1) if ties else cost
    assert earth_movers_distance(cost)[0] == pytest.approx(full_emd(cost), abs=1e-9)


def test_transport_is_exact_where_many_pairs_compete() -> None:
    generator = np.random.default_rng(0)
    # All rows have the same nearest columns, so the cheapest pairs cannot be the plan.
    cost = generator.random((60, 80)) * 0.01 + np.linspace(0, 1, 80)
    assert earth_movers_distance(cost)[0] == pytest.approx(full_emd(cost), abs=1e-9)


def test_transport_by_hand() -> None:
    assert earth_movers_distance(np.array([[0.25, 0.75]]))[0] == pytest.approx(0.5)
    assert earth_movers_distance(np.array([[0.0, 1], [1, 0]]))[0] == pytest.approx(0)
    assert earth_movers_distance(np.array([[1.0, 0, 0], [0, 1, 1]]))[0] == pytest.approx(1 / 6)


def plain(cost: NDArray[np.float64], subsets: NDArray[np.bool_]) -> list[float]:
    return [earth_movers_distance(cost[:, own])[0] for own in subsets]


def problems(
    rows: int, columns: int, count: int, seed: int, ties: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Costs, in tenths where there are to be ties, and subsets of columns, some of them equal."""
    generator = np.random.default_rng(seed)
    cost = generator.random((rows, columns))
    subsets = generator.random((count, columns)) < generator.random((count, 1))
    subsets[:, 0] |= ~subsets.any(1)
    subsets[count // 2 :] = subsets[generator.integers(count, size=count - count // 2)]
    return (np.round(cost, 1) if ties else cost), subsets


problem = st.builds(
    problems,
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 20),
    st.integers(0, 999),
    st.booleans(),
)


@given(problem)
@settings(max_examples=50, deadline=None)
def test_distances_not_solved_are_bounded_and_solved_ones_exact(
    given: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> None:
    cost, subsets = given
    exact = np.array(plain(cost, subsets))
    distances = Distances(cost, subsets)
    assert not distances.solved.any()
    for index in range(len(subsets)):
        before = distances.least
        assert (distances.least <= exact).all()
        distances.solve(index)
        assert (distances.least >= before).all()
        assert distances.solved[(subsets == subsets[index]).all(1)].all()
        assert distances.least[distances.solved] == pytest.approx(exact[distances.solved], abs=1e-9)
    assert distances.solved.all()


def test_a_solution_bounds_what_is_much_the_same_closely() -> None:
    cost = np.random.default_rng(0).random((40, 60))
    subsets = np.ones((2, 60), dtype=bool)
    subsets[1, :2] = False
    exact = plain(cost, subsets)
    distances = Distances(cost, subsets)
    before = exact[1] - distances.least[1]
    distances.solve(0)
    assert distances.solved.tolist() == [True, False]
    assert 0 <= exact[1] - distances.least[1] < before / 10


def test_matches_that_lead_back_elsewhere_are_dropped() -> None:
    # Rows are support patches, 0 and 1 foreground; both ways 0-0, but 1's partner prefers 2.
    cosines = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.6, 0.1], [0.0, 0.8, 0.3]])
    inside = torch.tensor([True, True, False])
    assert matches(cosines, inside).tolist() == [0]
    # Where nothing returns all stay.
    assert matches(cosines[1:], inside[1:]).tolist() == [1]
    cosines = torch.eye(50)
    cosines[range(50), range(50)] = torch.arange(50.0) + 100
    assert matches(cosines, torch.ones(50, dtype=torch.bool)).tolist() == list(range(25, 50))
    assert len(matches(cosines[:40, :40], torch.ones(40, dtype=torch.bool))) == 40


def test_foreground_patches_are_those_that_a_mask_touches() -> None:
    mask = torch.zeros(28, 42)
    mask[13, 14] = 1
    assert foreground_patches(mask, 14).tolist() == [False, True, False, False, False, False]
