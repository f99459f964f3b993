"""Results put together: folds to rows, rows to settings, each figure with its interval."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from benchmarks import (
    DatasetRecord,
    Draws,
    Figure,
    ModelRecord,
    ProtocolRecord,
    Result,
    RunRecord,
    figures,
    intervals,
    other_option,
)
from leaderboards.statistics.cost import uncached_milliseconds
from leaderboards.statistics.ranking import Range, rank_ranges


@dataclass(frozen=True)
class FoldScore:
    """One model's figures on one fold, or on a dataset that stands in its place."""

    record: RunRecord
    miou: Figure
    fb_iou: Figure
    class_iou: Mapping[int, Figure]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Row:
    """One model in one setting.

    Attributes:
        folds: the folds that were measured, by index.
        of: how many folds the dataset has to test.
        miou: mean over folds; None while a fold is lacking, or where their options differ.
        fb_iou: likewise.
        parts: of a group of datasets, their names: they stand where folds stand.
    """

    folds: Mapping[int, FoldScore]
    of: int
    miou: Figure | None
    fb_iou: Figure | None
    parts: tuple[str, ...] = ()

    @cached_property
    def records(self) -> tuple[RunRecord, ...]:
        """The records of the measured folds, by fold."""
        return tuple(self.folds[fold].record for fold in sorted(self.folds))

    @property
    def model(self) -> ModelRecord:
        """The model, as its first fold describes it."""
        return self.records[0].setup.model

    @property
    def strict(self) -> bool:
        """Whether no test class was seen in training; floors and oracles see nothing."""
        return is_strict(self.records)

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in the ranking."""
        return self.competes and self.miou is not None

    @property
    def competes(self) -> bool:
        """Whether it is a model that may be compared, if only on the folds that it has."""
        return may_compete(self.records)

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader must know before comparing this row."""
        marks = [] if self.model.kind == "model" else [self.model.kind]
        if not all(record.setup.model.comparable for record in self.records):
            marks.append("not comparable")
        if self.miou is None and self.parts:
            lacking = [part for fold, part in enumerate(self.parts) if fold not in self.folds]
            marks.append(f"lacks {', '.join(lacking)}")
        elif len(self.folds) < self.of:
            alone = trained_alone(self.records)
            some = f"{len(self.folds)} of {self.of} folds"
            marks.append(some if alone is None else f"trained for fold {alone}")
        what = "datasets" if self.parts else "folds"
        return (*marks, *(f"{what} differ in {name}" for name in self.mixed))

    @property
    def mixed(self) -> tuple[str, ...]:
        """What is not the same in all folds and should be. Weights may differ, trained per fold."""
        return mixed(own.record for score in self.folds.values() for own in score.results)

    @cached_property
    def answers(self) -> Mapping[str, float]:
        """What was asked beside mIoU, in 0..1, where there is a mean of it or a single fold."""
        if self.miou is None and len(self.folds) > 1:
            return {}
        return figures.mean_answers([r for score in self.folds.values() for r in score.results])

    @property
    def milliseconds(self) -> float | None:
        """Of model time an episode without a cache; None where the folds do not tell."""
        return uncached_milliseconds(self.records)

    @property
    def date(self) -> str:
        """The day, UTC, on which the last fold was begun."""
        return max(record.started for record in self.records)[:10]


def is_strict(records: Sequence[RunRecord]) -> bool:
    """Whether one model saw no test class of these folds in training; see `Row.strict`."""
    seen = {record.setup.model.sees_test_classes for record in records}
    return records[0].setup.model.kind in ("floor", "oracle") or seen == {"no"}


def may_compete(records: Sequence[RunRecord]) -> bool:
    """Whether one model may be compared on these folds; see `Row.competes`."""
    models = [record.setup.model for record in records]
    return (
        all(record.setup.episodes.limit is None for record in records)
        and all(model.comparable for model in models)
        and models[0].kind in ("model", "predictions")
    )


def mixed(records: Iterable[RunRecord]) -> tuple[str, ...]:
    """What is not the same in all of one model's records and should be, in a word each."""
    every = list(records)
    setups = [record.setup for record in every]
    models = [setup.model for setup in setups]
    fields: dict[str, set[object]] = {
        "options": {other_option(setups[0], setup) is None for setup in setups},
        "weights": {model.weights_digest for model in models if model.trained_fold is None},
        "model": {(model.title, model.parameters, model.source_digest) for model in models},
        "dtype": {setup.dtype for setup in setups},
        "hardware": {record.hardware for record in every},
    }
    return tuple(name for name, values in fields.items() if len(values) > 1)


def have_mean(records: Sequence[RunRecord]) -> bool:
    """Whether one model's folds are all that are tested, and measured with the same options."""
    tested = records[0].setup.dataset.tested
    measured = {record.setup.fold for record in records}
    return measured >= set(tested) and "options" not in mixed(records)


def trained_alone(records: Sequence[RunRecord]) -> int | None:
    """The one fold that a model was measured on because its weights are trained for no other."""
    trained = {record.setup.model.trained_fold for record in records}
    measured = {record.setup.fold for record in records}
    return next(iter(trained)) if len(trained) == 1 and trained == measured else None


@dataclass(frozen=True)
class Setting:
    """Rows that may be compared: one dataset, protocol, number of shots and cut of the list.

    Attributes:
        dataset: its name, or that of a group of datasets.
        protocol: what fixes the numbers.
        shots: supports an episode.
        limit: only so many first episodes of each list were run; None for whole lists.
        rows: best first; without a mean they come last.
    """

    dataset: str
    protocol: ProtocolRecord
    shots: int
    limit: int | None
    rows: tuple[Row, ...]

    @cached_property
    def records(self) -> Mapping[int, RunRecord]:
        """One record of every fold that any row has: what all rows share stands in it."""
        return {
            fold: score.record for row in reversed(self.rows) for fold, score in row.folds.items()
        }

    @cached_property
    def ranks(self) -> Mapping[str, Range]:
        """The best and the worst rank that the episodes leave each ranked model of a tier."""
        ranks: dict[str, Range] = {}
        for strict in (True, False):
            rows = [row for row in self.rows if row.ranked and row.strict is strict]
            own = [{part: row.folds[part].results for part in sorted(row.folds)} for row in rows]
            names = [row.model.name for row in rows]
            ranks |= zip(names, rank_ranges(own), strict=True)
        return ranks

    @property
    def data(self) -> DatasetRecord:
        """What it was measured on; where any row reads pixels, as that row names it."""
        every = (record.setup.dataset for row in self.rows for record in row.records)
        return min(every, key=lambda dataset: dataset.labels_alone)

    @property
    def folds(self) -> tuple[int, ...]:
        """The dataset's folds, less those that it cannot test."""
        if self.parts:
            return tuple(range(self.rows[0].of))
        return self.rows[0].records[0].setup.dataset.tested

    @property
    def parts(self) -> tuple[str, ...]:
        """Of a group of datasets, their names, in place of folds."""
        return self.rows[0].parts

    def part(self, fold: int) -> str:
        """`fold 2`, or the dataset that stands in its place."""
        return self.parts[fold] if self.parts else f"fold {fold}"


def settings(results: Iterable[Result]) -> list[Setting]:
    """Every setting of `results`, which must agree in their digests.

    Ordered by dataset, protocol, limit (whole lists first) and shots.
    """
    groups: dict[tuple[str, str, int, int], list[Result]] = defaultdict(list)
    for result in results:
        setup = result.record.setup
        limit = setup.episodes.limit or 0
        groups[result.key.dataset, setup.protocol.name, limit, setup.shots].append(result)
    return [_setting(groups[name]) for name in sorted(groups)]


def _setting(results: Sequence[Result]) -> Setting:
    by_model: dict[str, dict[int, FoldScore]] = defaultdict(dict)
    draws: dict[tuple[str, int], Draws] = {}
    by_fold: dict[int, list[Result]] = defaultdict(list)
    for result in results:
        by_fold[result.key.fold].append(result)
    for fold, models in by_fold.items():
        for result, own in zip(models, figures.draws(models), strict=True):
            by_model[result.key.model][fold] = _score(result, own)
            draws[result.key.model, fold] = own
    rows = [_row(model, folds, draws) for model, folds in by_model.items()]
    setup = results[0].record.setup
    return Setting(
        setup.dataset.name,
        setup.protocol,
        setup.shots,
        setup.episodes.limit,
        tuple(sorted(rows, key=order)),
    )


def _score(result: Result, draws: Draws) -> FoldScore:
    return FoldScore(
        result.record,
        Figure(figures.miou(result), intervals.interval(draws.miou)),
        Figure(figures.fb_iou(result), intervals.interval(draws.fb_iou)),
        {
            index: Figure(iou, draws.class_iou[index])
            for index, iou in figures.class_ious(result).items()
        },
        (result,),
    )


def _row(model: str, folds: Mapping[int, FoldScore], draws: Mapping[tuple[str, int], Draws]) -> Row:
    row = Row(folds, len(next(iter(folds.values())).record.setup.dataset.tested), None, None)
    if not have_mean(row.records):
        return row
    own = [draws[model, fold] for fold in folds]
    return replace(
        row,
        miou=Figure(
            fmean(score.miou.value for score in folds.values()),
            intervals.interval(intervals.over_folds([draw.miou for draw in own])),
        ),
        fb_iou=Figure(
            fmean(score.fb_iou.value for score in folds.values()),
            intervals.interval(intervals.over_folds([draw.fb_iou for draw in own])),
        ),
    )


def order(row: Row) -> tuple[bool, float, str]:
    """Sorts rows: best first, those without a mean last."""
    return row.miou is None, -row.miou.value if row.miou else 0.0, row.model.name
