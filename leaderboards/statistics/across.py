"""Models across datasets: one protocol and number of shots at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks import Figure, Interval, intervals
from leaderboards.statistics.scores import Row, Setting

_FEWEST = 2  # datasets, or models, below which there is nothing to average


@dataclass(frozen=True)
class AcrossRow:
    """One model.

    Attributes:
        name: the model's.
        cells: its row on each dataset where it has one, if only on some folds.
        mean_rank: over `Across.common`, with the 95% bootstrap interval over these datasets; None
            for a model that lacks one of them.
    """

    name: str
    cells: Mapping[str, Row]
    mean_rank: Figure | None


@dataclass(frozen=True)
class Across:
    """Models by datasets.

    Attributes:
        protocol: its name.
        shots: supports an episode.
        strict: whether these are the strict models, or the generalists.
        datasets: all on which one of the models was measured.
        common: those that all compared models have; empty where no two models share two.
        rows: compared models first, best mean rank first; then the others by name.
    """

    protocol: str
    shots: int
    strict: bool
    datasets: tuple[str, ...]
    common: tuple[str, ...]
    rows: tuple[AcrossRow, ...]


def across(settings: Iterable[Setting]) -> list[Across]:
    """Every overview of at least two models and two datasets.

    Compared are those models whose datasets in common make the largest table without a gap. Cut
    lists and groups of datasets are left out, and so are floors, oracles and previews.
    """
    found: dict[tuple[str, int, bool], dict[str, dict[str, Row]]] = {}
    for setting in settings:
        if setting.limit is None and not setting.parts:
            for row in setting.rows:
                if row.competes:
                    key = (setting.protocol.name, setting.shots, row.strict)
                    models = found.setdefault(key, defaultdict(dict))
                    models[row.model.name][setting.dataset] = row
    tables = []
    for (protocol, shots, strict), models in sorted(found.items(), key=lambda own: own[0][:2]):
        datasets = tuple(sorted({name for cells in models.values() for name in cells}))
        if len(datasets) >= _FEWEST and len(models) >= _FEWEST:
            common, ranks = _compared(models)
            rows = [AcrossRow(name, cells, ranks.get(name)) for name, cells in models.items()]
            rows.sort(key=_order)
            tables.append(Across(protocol, shots, strict, datasets, common, tuple(rows)))
    return tables


def mean_ranks(scores: Sequence[Sequence[float]], seed: int = 0) -> list[Figure]:
    """Each model's mean rank over datasets, with its bootstrap interval.

    Equal scores share the mean of their ranks. Datasets are drawn again with replacement.

    Args:
        scores: models × datasets, the higher the better.
        seed: of the draws.
    """
    table = np.asarray(scores, dtype=np.float64)
    above = (table[None] > table[:, None]).sum(axis=1)
    equal = (table[None] == table[:, None]).sum(axis=1)
    ranks = above + (1 + equal) / 2
    number = table.shape[1]
    picks = np.random.default_rng(seed).integers(number, size=(intervals.RESAMPLES, number))
    draws = ranks[:, picks].mean(axis=2)
    ends = [intervals.interval(own) for own in draws]
    return [Figure(float(own.mean()), end) for own, end in zip(ranks, ends, strict=True)]


def _compared(models: Mapping[str, Mapping[str, Row]]) -> tuple[tuple[str, ...], dict[str, Figure]]:
    """The datasets that the compared models share, and the mean ranks of these models."""
    whole = {
        name: frozenset(dataset for dataset, row in cells.items() if row.ranked)
        for name, cells in models.items()
    }
    choices = {a & b for a, b in product(whole.values(), repeat=2)}
    best: tuple[int, list[str], list[str]] = (0, [], [])
    for choice in sorted(map(sorted, choices)):
        having = sorted(name for name, own in whole.items() if own.issuperset(choice))
        if min(len(choice), len(having)) >= _FEWEST and len(choice) * len(having) > best[0]:
            best = (len(choice) * len(having), choice, having)
    _, common, names = best
    if not common:
        return (), {}
    figures = [[models[name][dataset].miou for dataset in common] for name in names]
    values = [[figure.value if figure else np.nan for figure in own] for own in figures]
    return tuple(common), dict(zip(names, mean_ranks(values), strict=True))


def _order(row: AcrossRow) -> tuple[bool, float, str]:
    rank = row.mean_rank or Figure(0.0, Interval(0.0, 0.0))
    return row.mean_rank is None, rank.value, row.name
