"""Models across datasets: one protocol and number of shots at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from leaderboards.statistics.scores import Row, Setting

_FEWEST = 2  # datasets, or models, below which there is nothing to average


@dataclass(frozen=True)
class AcrossRow:
    """One model.

    Attributes:
        name: the model's.
        cells: its row on each dataset where it has one, if only on some folds.
        ranks: its rank on each of `Across.common`; empty for a model that lacks one of them.
    """

    name: str
    cells: Mapping[str, Row]
    ranks: tuple[float, ...]

    @property
    def mean_rank(self) -> float | None:
        """The mean of `ranks`; None without any."""
        return fmean(self.ranks) if self.ranks else None


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
    for protocol, shots, strict in sorted(found, key=lambda own: (*own[:2], not own[2])):
        models = found[protocol, shots, strict]
        datasets = tuple(sorted({name for cells in models.values() for name in cells}))
        if len(datasets) >= _FEWEST and len(models) >= _FEWEST:
            common, ranks = _compared(models)
            rows = [AcrossRow(name, cells, ranks.get(name, ())) for name, cells in models.items()]
            rows.sort(key=_order)
            tables.append(Across(protocol, shots, strict, datasets, common, tuple(rows)))
    return tables


def ranks_by_dataset(scores: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    """Each model's rank on every dataset; equal scores share the mean of their ranks.

    Args:
        scores: models × datasets, the higher the better.
    """
    table = np.asarray(scores, dtype=np.float64)
    above = (table[None] > table[:, None]).sum(axis=1)
    equal = (table[None] == table[:, None]).sum(axis=1)
    return [tuple(own) for own in (above + (1 + equal) / 2).tolist()]


def _compared(
    models: Mapping[str, Mapping[str, Row]],
) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """The datasets that the compared models share, and the ranks of these models."""
    whole = {
        name: frozenset(dataset for dataset, row in cells.items() if row.ranked)
        for name, cells in models.items()
    }
    best: tuple[int, list[str], list[str]] = (0, [], [])
    for choice in sorted(map(sorted, _shared(whole.values()))):
        having = sorted(name for name, own in whole.items() if own.issuperset(choice))
        if min(len(choice), len(having)) >= _FEWEST and len(choice) * len(having) > best[0]:
            best = (len(choice) * len(having), choice, having)
    _, common, names = best
    if not common:
        return (), {}
    figures = [[models[name][dataset].miou for dataset in common] for name in names]
    values = [[figure.value if figure else np.nan for figure in own] for own in figures]
    return tuple(common), dict(zip(names, ranks_by_dataset(values), strict=True))


def _shared(sets: Iterable[frozenset[str]]) -> set[frozenset[str]]:
    """Each set, and what any number of them have in common."""
    found: set[frozenset[str]] = set()
    for own in sets:
        found |= {own, *(own & other for other in found)}
    return found


def _order(row: AcrossRow) -> tuple[bool, float, str]:
    return row.mean_rank is None, row.mean_rank or 0.0, row.name
