"""Groups of datasets that the literature averages: one row a model, one column a dataset.

A group is a setting whose parts are datasets instead of folds; its mIoU is the plain mean of
theirs, as in the CD-FSS tables of PATNet and its successors.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from statistics import fmean

from benchmarks import Figure, Interval
from leaderboards.statistics.scores import FoldScore, Row, Setting, order


def group_settings(
    settings: Iterable[Setting], groups: Mapping[str, Sequence[str]]
) -> list[Setting]:
    """A setting for each group, protocol and number of shots of which anything was measured.

    Lists that were cut are left out, and so are rows that lack a fold of their dataset.
    """
    found: dict[tuple[str, str, int], dict[str, Setting]] = defaultdict(dict)
    for setting in settings:
        for group, members in groups.items():
            if setting.limit is None and setting.dataset in members:
                key = (group, setting.protocol.name, setting.shots)
                found[key][setting.dataset] = setting
    every = []
    for (group, _, shots), measured in sorted(found.items()):
        rows = _rows(groups[group], measured)
        if rows:
            protocol = next(iter(measured.values())).protocol
            every.append(Setting(group, protocol, shots, None, tuple(sorted(rows, key=order))))
    return every


def mean(figures: Sequence[Figure]) -> Figure:
    """The mean of independent figures.

    Both sides of their intervals are added as independent errors are, by their squares: datasets
    of a group share no image.
    """
    value = fmean(figure.value for figure in figures)
    low = hypot(*(figure.value - figure.interval.low for figure in figures)) / len(figures)
    high = hypot(*(figure.interval.high - figure.value for figure in figures)) / len(figures)
    return Figure(value, Interval(value - low, value + high))


def _rows(members: Sequence[str], measured: Mapping[str, Setting]) -> list[Row]:
    by_model: dict[str, dict[int, FoldScore]] = defaultdict(dict)
    for place, dataset in enumerate(members):
        for row in measured[dataset].rows if dataset in measured else ():
            if row.miou is not None and row.fb_iou is not None:
                results = tuple(
                    own for fold in sorted(row.folds) for own in row.folds[fold].results
                )
                score = FoldScore(row.records[0], row.miou, row.fb_iou, {}, results)
                by_model[row.model.name][place] = score
    return [_row(members, scores) for scores in by_model.values()]


def _row(members: Sequence[str], scores: Mapping[int, FoldScore]) -> Row:
    whole = len(scores) == len(members)
    return Row(
        scores,
        len(members),
        mean([score.miou for score in scores.values()]) if whole else None,
        mean([score.fb_iou for score in scores.values()]) if whole else None,
        tuple(members),
    )
