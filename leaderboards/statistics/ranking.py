"""Ranks as ranges: what the episodes can tell of the order of models.

Every two models are compared by the paired test on the same episodes, and the p-values are
corrected by Holm for the number of pairs. A model's best rank is one more than the models that are
shown to be better, its worst the number of models less those that are shown to be worse; so all
ranges together hold the true ranks with a probability of at least 95% (Mogstad, Romano, Shaikh and
Wilhelm, "Inference for ranks", 2024).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from benchmarks import Result, figures, intervals
from leaderboards.statistics.significance import holm, permutation_tests

LEVEL = 0.05
_FINE = 40  # permutations a pair: the least p, times the pairs, must stay well below the level
_MOST_FOLDS = 10**4  # of a dataset; see `DatasetRecord`
Range = tuple[int, int]


def rank_ranges(models: Sequence[Mapping[int, Sequence[Result]]]) -> list[Range]:
    """The best and the worst rank of each model.

    Args:
        models: each model's results by part of the setting: a fold has one, a dataset of a group
            one a fold. All models have the same.
    """
    if len(models) < 2:
        return [(1, 1)] * len(models)
    folds, weights = {}, {}
    for part, first in models[0].items():
        for place, _ in enumerate(first):
            own = [model[part][place] for model in models]
            folds[part + _MOST_FOLDS * place] = figures.clusters(own)
            weights[part + _MOST_FOLDS * place] = 1 / len(first) / len(models[0])
    pairs = list(combinations(range(len(models)), 2))
    permutations = max(intervals.RESAMPLES, _FINE * len(pairs))
    gaps, p_values = permutation_tests(folds, weights=weights, permutations=permutations)
    better, worse = [0] * len(models), [0] * len(models)
    for (a, b), gap, p in zip(pairs, gaps, holm(p_values), strict=True):
        if p < LEVEL:
            winner, loser = (a, b) if gap > 0 else (b, a)
            better[loser] += 1
            worse[winner] += 1
    return [(1 + up, len(models) - down) for up, down in zip(better, worse, strict=True)]
