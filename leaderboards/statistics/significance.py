"""Tests of whether models differ."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmarks import ClassClusters, intervals

_BLOCK = 500  # permutations at a time


def permutation_test(
    folds: Mapping[int, Sequence[ClassClusters]],
    permutations: int = intervals.RESAMPLES,
    seed: int = 0,
) -> float:
    """The two-sided p-value of the difference of exactly two models; see `permutation_tests`."""
    (p,) = permutation_tests(folds, permutations=permutations, seed=seed)[1]
    return p


def permutation_tests(
    folds: Mapping[int, Sequence[ClassClusters]],
    *,
    weights: Mapping[int, float] | None = None,
    permutations: int = intervals.RESAMPLES,
    seed: int = 0,
) -> tuple[list[float], list[float]]:
    """Differences in mIoU of every two models, and their two-sided p-values.

    If two models were alike, exchanging their answers to any query image of a class would change
    nothing. So the difference is compared with those that come of exchanging at random (Fisher's
    and Pitman's test; images and not episodes, because episodes of one query hang together). All
    pairs share the exchanges.

    Args:
        folds: per fold, the clusters of the same models.
        weights: of each fold in the mean; equal where they are left out.
        permutations: how often; p is never below 1 / (permutations + 1).
        seed: names the exchanges.

    Returns:
        The differences a - b in 0..1 and their p, in the order of `itertools.combinations`.
    """
    every = [
        (np.random.default_rng([seed, fold, own.index]), own, (weights or {}).get(fold, 1.0))
        for fold, classes in folds.items()
        for own in classes
    ]
    parts = len(folds) if weights is None else 1
    number = every[0][1].areas.shape[1]
    observed = np.zeros(number * (number - 1) // 2)
    for _, own, weight in every:
        iou = intervals.shared_iou(own.areas.sum(axis=0), own.share)
        gaps = [iou[a] - iou[b] for a, b in combinations(range(number), 2)]
        observed += weight * np.array(gaps) / parts
    extreme = np.zeros(len(observed), dtype=np.int64)
    for start in range(0, permutations, _BLOCK):
        block = min(_BLOCK, permutations - start)
        exchanged = np.zeros((block, len(observed)))
        for random, own, weight in every:
            exchanged += weight * _exchanged(own, random, block) / parts
        # What is equal but for rounding is equally extreme.
        extreme += (np.abs(exchanged) >= np.abs(observed) - 1e-12).sum(axis=0)
    return observed.tolist(), ((1 + extreme) / (1 + permutations)).tolist()


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that hold for all tests together."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _exchanged(own: ClassClusters, random: np.random.Generator, block: int) -> intervals.Floats:
    """What a class adds to every pair's difference, one row an exchange."""
    images, models = own.areas.shape[:2]
    both = own.areas.sum(axis=0)
    draws = random.integers(2, size=(block, images)).astype(np.float64)
    # Sums of whole numbers: exact, in whatever order.
    moved = (draws @ own.areas.reshape(images, -1)).reshape(block, *both.shape)
    found = []
    for a in range(models - 1):
        gap = moved[:, a + 1 :] - moved[:, a : a + 1]
        of_a = intervals.shared_iou(both[a] + gap, own.share)
        found.append(of_a - intervals.shared_iou(both[a + 1 :] - gap, own.share))
    return np.concatenate(found, axis=1)
