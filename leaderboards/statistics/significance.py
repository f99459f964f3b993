"""Tests of whether two models differ."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import ClassClusters, intervals

_BLOCK = 500  # permutations at a time


def permutation_test(
    folds: Mapping[int, Sequence[ClassClusters]],
    permutations: int = intervals.RESAMPLES,
    seed: int = 0,
) -> float:
    """The two-sided p-value of the mean over folds of the difference in mIoU.

    If two models were alike, exchanging their answers to any query image of a class would change
    nothing. So the difference is compared with those that come of exchanging at random (Fisher's
    and Pitman's test; images and not episodes, because episodes of one query hang together).

    Args:
        folds: per fold, the clusters of exactly two models.
        permutations: how often; p is never below 1 / (permutations + 1).
        seed: names the exchanges.
    """
    observed, exchanged = 0.0, np.zeros(permutations)
    for fold, classes in folds.items():
        for own in classes:
            both = own.areas.sum(axis=0)
            observed += float(_difference(both, own.share)) / len(folds)
            random = np.random.default_rng([seed, fold, own.index])
            gaps = (own.areas[:, 1] - own.areas[:, 0]).reshape(len(own.areas), -1)
            for start in range(0, permutations, _BLOCK):
                block = slice(start, min(start + _BLOCK, permutations))
                size = (block.stop - block.start, len(own.areas))
                moved = random.integers(2, size=size).astype(np.float64) @ gaps
                moved = moved.reshape(-1, *both.shape[1:])
                sums = np.stack([both[0] + moved, both[1] - moved], axis=1)
                exchanged[block] += _difference(sums, own.share) / len(folds)
    # What is equal but for rounding is equally extreme.
    extreme = np.abs(exchanged) >= abs(observed) - 1e-12
    return float((1 + extreme.sum()) / (1 + permutations))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that hold for all tests together."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _difference(sums: intervals.Floats, share: intervals.Floats) -> intervals.Floats:
    """What a class adds to the difference in mIoU, from ... × 2 models × runs × 4."""
    ious = intervals.shared_iou(sums, share)
    return ious[..., 0] - ious[..., 1]
