"""The curve over shots: what a doubling of the supports brings, and from where on more do not help.

Lists of a nested protocol ask the same queries at every number of shots, and those of more begin
with the supports of those of fewer. So a model's results are paired over shots, and are drawn again
together, query image by query image, as the results of two models are.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import Figure, Result, figures, get_protocol, intervals
from leaderboards.committed.collect import episodes_digest
from leaderboards.statistics.scores import Row, Setting

FEWEST = 3  # numbers of shots: two points have a line, but no word on whether it is one
_PUBLISHED = (1, 5)  # the shots that papers print
_CERTAIN = 97.5  # percent: one side of the 95% intervals


@dataclass(frozen=True)
class Curve:
    """One model's mIoU over shots.

    Attributes:
        rows: the model's row at each number of shots, ascending; all have a mean over folds.
        slope: the gain in mIoU per doubling of the shots, in 0..1.
        reached: what share of the gain from 1 shot to the most there is at 5 shots; None where 1 or
            5 was not measured, or 5 is the most, or any draw has no such gain.
        saturation: see `saturation`.
        left: the gain in mIoU from there to the most shots; None where `saturation` is.
    """

    rows: Mapping[int, Row]
    slope: Figure
    reached: Figure | None
    saturation: int | None
    left: Figure | None

    @property
    def last(self) -> Row:
        """The row at the most shots."""
        return self.rows[max(self.rows)]

    @property
    def mious(self) -> Mapping[int, Figure]:
        """The mIoU in 0..1 by the number of shots."""
        return {shots: row.miou for shots, row in self.rows.items() if row.miou is not None}


@dataclass(frozen=True)
class Curves:
    """Models over shots.

    Attributes:
        dataset: of all.
        protocol: its name.
        strict: whether these are the strict models, or the generalists.
        shots: every number of shots that one of them was measured at.
        curves: the best at its most shots first.
    """

    dataset: str
    protocol: str
    strict: bool
    shots: tuple[int, ...]
    curves: tuple[Curve, ...]


def shot_curves(settings: Iterable[Setting]) -> list[Curves]:
    """Every model that was measured at three numbers of shots or more, by the same code.

    Left out are protocols whose lists are not nested, cut lists, groups of datasets, rows that lack
    a fold, and shots at which a list has other queries or classes than the others.
    """
    measured: dict[tuple[str, str, bool, str], dict[int, Row]] = defaultdict(dict)
    for setting in settings:
        name = setting.protocol.name
        if setting.limit is None and not setting.parts and get_protocol(name).nested:
            for row in setting.rows:
                if row.miou is not None:
                    key = (setting.dataset, name, row.strict, row.model.name)
                    measured[key][setting.shots] = row
    found: dict[tuple[str, str, bool], list[Curve]] = defaultdict(list)
    for (*place, strict, _), rows in measured.items():
        alike = _alike(rows) if len(rows) >= FEWEST else {}
        if len(alike) >= FEWEST:
            found[place[0], place[1], strict].append(curve(alike))
    return [
        Curves(
            dataset,
            protocol,
            strict,
            tuple(sorted({shots for own in curves for shots in own.rows})),
            tuple(sorted(curves, key=lambda own: (-_value(own.last), own.last.model.name))),
        )
        for (dataset, protocol, strict), curves in sorted(
            found.items(), key=lambda item: (*item[0][:2], not item[0][2])
        )
    ]


def curve(rows: Mapping[int, Row]) -> Curve:
    """One model's curve.

    Args:
        rows: by the number of shots; at least two, on the same queries, each with a mean.
    """
    rows = dict(sorted(rows.items()))
    shots = list(rows)
    mious = np.array([_value(row) for row in rows.values()])
    draws = _draws(list(rows.values()))
    found = saturation(shots, mious, draws)
    return Curve(
        rows,
        _figure(slope(shots, mious), slope(shots, draws)),
        _reached(shots, mious, draws),
        found,
        None if found is None else _figure(*_gain(mious, draws, shots.index(found), -1)),
    )


def slope(shots: Sequence[int], mious: intervals.Floats) -> intervals.Floats:
    """The gain per doubling of the shots: least squares of mIoU on log2 of the shots, unweighted.

    Args:
        shots: distinct.
        mious: shots × ..., in 0..1.

    Returns:
        The slope of each column; 0 to the bit where all shots have the same figure.
    """
    doublings = np.log2(shots)
    doublings -= doublings.mean()
    return (doublings / (doublings @ doublings)) @ (mious - mious[:1])  # type: ignore[no-any-return]


def saturation(
    shots: Sequence[int], mious: intervals.Floats, draws: intervals.Floats
) -> int | None:
    """The smallest number of shots of which no larger one that was measured is shown to be better.

    Numbers of shots are asked in turn, the smallest first: is any larger one better? The gains of
    all of them are judged together, by the draws' largest standardised error (Romano and Wolf,
    "Stepwise multiple testing as formalized data snooping", 2005), and the first "no" ends it. As
    the order is fixed beforehand, the number found is larger than the true one with a chance of at
    most 2.5%, however many were asked (Maurer, Hothorn and Lehmacher 1995). It may well be smaller:
    noise hides small gains.

    Args:
        shots: ascending.
        mious: one a number of shots.
        draws: shots × draws, paired over shots.

    Returns:
        The number of shots; None where the largest is still better than the last but one.
    """
    for place, own in enumerate(shots[:-1]):
        gains = mious[place + 1 :] - mious[place]
        errors = draws[place + 1 :] - draws[place] - gains[:, None]
        spread = errors.std(axis=1)
        moving = spread > 0
        largest = (errors[moving] / spread[moving, None]).max(axis=0, initial=-np.inf)
        margin = np.percentile(largest, _CERTAIN) * spread if moving.any() else spread
        if not (gains > margin).any():
            return own
    return None


def _alike(rows: Mapping[int, Row]) -> dict[int, Row]:
    """The most shots at which the same model was asked the same queries of the same data."""
    groups: dict[Hashable, dict[int, Row]] = defaultdict(dict)
    for shots, row in sorted(rows.items()):
        groups[tuple(map(_identity, _results(row)))][shots] = row
    return max(groups.values(), key=len)


def _identity(result: Result) -> Hashable:
    setup = result.record.setup
    model, data = setup.model, setup.dataset
    code = (str(model.config), model.weights_digest, model.parameters, model.source_digest)
    return (setup.fold, *code, setup.dtype, data.digest, *data.classes, episodes_digest(result))


def _results(row: Row) -> list[Result]:
    return [result for _, score in sorted(row.folds.items()) for result in score.results]


def _draws(rows: Sequence[Row]) -> intervals.Floats:
    """The mIoU over folds, shots × draws."""
    folds = [figures.draws(own) for own in zip(*map(_results, rows), strict=True)]
    return intervals.over_folds([np.stack([own.miou for own in fold]) for fold in folds])


def _reached(
    shots: Sequence[int], mious: intervals.Floats, draws: intervals.Floats
) -> Figure | None:
    if not {*_PUBLISHED} <= {*shots} or shots[-1] == _PUBLISHED[1]:
        return None
    one, five = map(shots.index, _PUBLISHED)
    part, whole = _gain(mious, draws, one, five), _gain(mious, draws, one, -1)
    # A ratio has no interval where what it is divided by may be nothing (Fieller 1954).
    return _figure(part[0] / whole[0], part[1] / whole[1]) if (whole[1] > 0).all() else None


def _gain(
    mious: intervals.Floats, draws: intervals.Floats, a: int, b: int
) -> tuple[intervals.Floats, intervals.Floats]:
    return mious[b] - mious[a], draws[b] - draws[a]


def _figure(value: intervals.Floats, draws: intervals.Floats) -> Figure:
    return Figure(float(value), intervals.interval(draws))


def _value(row: Row) -> float:
    return row.miou.value if row.miou else np.nan
