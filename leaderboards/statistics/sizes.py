"""mIoU by the size of the object that is asked for, from counts alone.

The floor `all-foreground` marks every pixel, so its intersection is the object's area and its union
the image's: where a setting has that row, the sizes of all episodes are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks import Result, figures, metrics
from leaderboards.statistics.scores import Row, Setting

_FLOOR = "all-foreground"


@dataclass(frozen=True)
class Band:
    """Objects that cover at least `least` and less than `below` of their image, in 0..1."""

    name: str
    least: float
    below: float

    def holds(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of some objects are in it; what is not there has no size."""
        held: NDArray[np.bool_] = (shares > 0) & (shares >= self.least) & (shares < self.below)
        return held


BANDS = (
    Band("below 5%", 0.0, 0.05),
    Band("5 to 15%", 0.05, 0.15),
    Band("15% and more", 0.15, np.inf),
)


def object_shares(setting: Setting) -> Mapping[int, NDArray[np.float64]]:
    """By fold, the share of the scored pixels, in 0..1, that each episode's object covers.

    Nothing for folds that the floor was not measured on, and for groups of datasets.
    """
    floor = [r for r in setting.rows if r.model.name == _FLOOR and r.model.kind == "floor"]
    if setting.parts or not floor:
        return {}
    areas = {fold: score.results[0].counts.areas for fold, score in floor[0].folds.items()}
    return {fold: own[:, 0] / np.maximum(own[:, 1], 1) for fold, own in areas.items()}


def episodes_by_size(setting: Setting) -> list[int]:
    """How many episodes of all folds are in each of `BANDS`."""
    shares = object_shares(setting).values()
    return [sum(int(band.holds(own).sum()) for own in shares) for band in BANDS]


def miou_by_size(setting: Setting, row: Row) -> list[float | None]:
    """A row's mIoU in 0..1 in each of `BANDS`: the mean over the folds that have such objects.

    A class without such an object is left out of its fold's mean. None where there is no object;
    an empty list where sizes are not known of all of the row's folds.
    """
    shares = object_shares(setting)
    if not row.folds.keys() <= shares.keys():
        return []
    found: list[float | None] = []
    for band in BANDS:
        own = [
            _miou(score.results[0], held)
            for fold, score in row.folds.items()
            if (held := band.holds(shares[fold])).any()
        ]
        found.append(fmean(own) if own else None)
    return found


def _miou(result: Result, held: NDArray[np.bool_]) -> float:
    return metrics.miou(result.counts.part(held), figures.classes(result), "left out")
