"""How many episodes it takes to tell two models apart.

The uncertainty of a difference falls with the root of the number of episodes, as long as they
bring new query images. So from its size in a run follows the number that a smaller difference
would take (the usual formula for a two-sided test of a normal difference).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist
from statistics import correlation as pearson

import numpy as np

from benchmarks import BenchError, Result, figures, intervals
from leaderboards.statistics.comparison import by_fold, setting_name

POINTS = (0.005, 0.01, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class Power:
    """What a list of episodes can tell.

    Attributes:
        models: the model, or the two whose difference was measured.
        setting: dataset, protocol and shots.
        folds: those that it is reckoned from, of `of`: all that the models have in common.
        of: how many folds the dataset has to test.
        episodes: of these folds.
        images: distinct pairs of class and query image among them.
        deviation: the standard deviation of a difference in mIoU, in 0..1.
        correlation: between both models' mIoU over draws; 0 is assumed of a single model.
        chance: with which a true difference shall be found.
        detectable: the smallest difference, in 0..1, that these episodes find with that chance.
        needed: per difference, how many episodes would find it.
    """

    models: tuple[str, ...]
    setting: str
    folds: tuple[int, ...]
    of: int
    episodes: int
    images: int
    deviation: float
    correlation: float
    chance: float
    detectable: float
    needed: Mapping[float, int]


def power(
    models: Sequence[Sequence[Result]],
    *,
    chance: float = 0.8,
    level: float = 0.05,
    points: Iterable[float] = POINTS,
) -> Power:
    """What the episodes of one setting can tell.

    Args:
        models: one model's results, one a fold, or two models' on the same episodes. Of one, the
            other is taken to be as uncertain and independent, which asks for too many episodes:
            models mostly find the same queries hard.
        chance: with which a true difference shall be found, in 0..1.
        level: of the two-sided test.
        points: differences in 0..1.

    Raises:
        BenchError: if the two were not measured on the same episodes, or one not alike on all
            folds.
    """
    common = by_fold(models)
    folds = list(common.values())
    draws = [figures.draws(own) for own in folds]
    mious = [
        intervals.over_folds([fold[index].miou for fold in draws]) for index in range(len(models))
    ]
    spread = [float(np.std(own)) for own in mious]
    if len(models) == 1:
        deviation, correlation = sqrt(2) * spread[0], 0.0
    else:
        deviation = float(np.std(mious[0] - mious[1]))
        correlation = pearson(*(own.tolist() for own in mious)) if min(spread) > 0 else 0.0
    episodes = sum(len(own[0].counts) for own in folds)
    normal = NormalDist()
    detectable = (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(chance)) * deviation
    return Power(
        models=tuple(own[0].key.model for own in models),
        setting=setting_name(models[0][0].key),
        folds=tuple(common),
        of=len(models[0][0].record.setup.dataset.tested),
        episodes=episodes,
        images=sum(len(own.areas) for fold in folds for own in figures.clusters(fold)),
        deviation=deviation,
        correlation=correlation,
        chance=chance,
        detectable=detectable,
        needed={point: ceil(episodes * (detectable / point) ** 2) for point in points},
    )


def powers(models: Sequence[Iterable[Result]], *, chance: float = 0.8) -> list[Power]:
    """What every setting can tell in which all `models` were measured.

    Args:
        models: one model's results, or two models'.
        chance: with which a true difference shall be found, in 0..1.

    Raises:
        BenchError: if there is no such setting, or one of `models` holds several models, or both
            hold the same.
    """
    settings: dict[str, list[list[Result]]] = defaultdict(lambda: [[] for _ in models])
    for index, own in enumerate(models):
        for result in own:
            settings[setting_name(result.key)][index].append(result)
    shared = {name: found for name, found in settings.items() if all(found)}
    if not shared:
        raise BenchError("there is no dataset, protocol and number of shots that both share")
    for found in shared.values():
        asked = [sorted({result.key.model for result in own}) for own in found]
        for names in asked:
            if len(names) > 1:
                raise BenchError(f"power is asked of one model at a time, not {', '.join(names)}")
        if len(asked) > 1 and asked[0] == asked[1]:
            raise BenchError(f"{asked[0][0]} is named twice; name one model, or two that differ")
    return [power(found, chance=chance) for found in shared.values()]
