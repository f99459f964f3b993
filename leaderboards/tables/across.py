"""Models by datasets, as markdown."""

from collections.abc import Sequence

from leaderboards.statistics.across import Across, AcrossRow, across
from leaderboards.statistics.scores import Setting, mixed
from leaderboards.tables import wording
from leaderboards.tables.markdown import escape, table

MISSING = "missing"


def across_tables(settings: Sequence[Setting]) -> list[str]:
    """A section with a table for each protocol, number of shots and tier; empty without any."""
    parts = []
    for found in across(settings):
        tier = "strict" if found.strict else "generalist"
        title = f"{escape(found.protocol)}, {wording.shot(found.shots)}, {tier}"
        parts += [f"### {title}", _table(found), averaged(found)]
    return ["## Across datasets", *parts] if parts else []


def averaged(found: Across) -> str:
    """Which datasets the mean rank is taken over."""
    if not found.common:
        return "No two models share two datasets, so there is no mean rank."
    rest = [name for name in found.datasets if name not in found.common]
    return (
        f"mIoU in percent; the mean rank, with the lowest and the highest in brackets, is over "
        f"{', '.join(found.common)}, which all compared models have"
        + (f"; not averaged: {', '.join(rest)}." if rest else ".")
    )


def cell(row: AcrossRow, dataset: str) -> str:
    """A model's mIoU on a dataset, or what is missing of it."""
    own = row.cells.get(dataset)
    if own is None:
        return MISSING
    if own.miou is None:
        some = len(own.folds) < own.of
        return f"{len(own.folds)} of {own.of} folds" if some else ", ".join(own.marks)
    return wording.percent(own.miou)


def named(row: AcrossRow) -> str:
    """A model's name, and what its datasets differ in; their hardware may."""
    records = (record for own in row.cells.values() for record in own.records)
    other = [what for what in mixed(records) if what != "hardware"]
    return row.name + (f" (datasets differ in {', '.join(other)})" if other else "")


def mean_rank(row: AcrossRow) -> str:
    """A mean rank with the range of its ranks, which no interval is: `1.5 (1–2)`."""
    if row.mean_rank is None:
        return wording.NONE
    return f"{row.mean_rank:.1f} ({min(row.ranks):g}–{max(row.ranks):g})"


def _table(found: Across) -> str:
    head = ["Model", "Mean rank (range)", *found.datasets]
    body = [
        [named(row), mean_rank(row), *(cell(row, name) for name in found.datasets)]
        for row in found.rows
    ]
    return table(head, body, "l" + "r" * (len(head) - 1))
