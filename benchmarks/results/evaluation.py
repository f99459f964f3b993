"""One model on one dataset as a value: its folds put together, with intervals and all counts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks.evaluation.intervals import Draws, Figure, interval, over_folds
from benchmarks.evaluation.metrics import COUNTS
from benchmarks.results import figures
from benchmarks.results.agreement import other_option
from benchmarks.results.records import Setup
from benchmarks.results.store import Result

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Evaluation:
    """Results of one model by one protocol with so many shots, one a fold.

    Attributes:
        results: with everything that is known of each, by fold.
    """

    results: tuple[Result, ...]

    @property
    def model(self) -> str:
        """The name under which it was measured."""
        return self.results[0].key.model

    @property
    def dataset(self) -> str:
        """What it was measured on."""
        return self.results[0].key.dataset

    @property
    def protocol(self) -> str:
        """The protocol, or its folder in a store where only part of a list was measured."""
        return self.results[0].key.protocol

    @property
    def shots(self) -> int:
        """Supports an episode."""
        return self.results[0].key.shots

    @property
    def of(self) -> int:
        """How many folds the dataset has to test; a mean of fewer is not the dataset's."""
        return len(self.results[0].record.setup.dataset.tested)

    @cached_property
    def miou(self) -> Figure:
        """The mean over these folds, in 0..1, with its 95% bootstrap interval."""
        value = fmean(map(figures.miou, self.results))
        return Figure(value, interval(over_folds([draws.miou for draws in self._draws])))

    @cached_property
    def fb_iou(self) -> Figure:
        """Likewise."""
        value = fmean(map(figures.fb_iou, self.results))
        return Figure(value, interval(over_folds([draws.fb_iou for draws in self._draws])))

    @cached_property
    def class_iou(self) -> Mapping[str, Figure]:
        """IoU of every class that counts, by its name."""
        return {
            result.record.setup.dataset.classes[index]: Figure(iou, draws.class_iou[index])
            for result, draws in zip(self.results, self._draws, strict=True)
            for index, iou in figures.class_ious(result).items()
        }

    @cached_property
    def answers(self) -> Mapping[str, float]:
        """What was asked beside mIoU, the mean over folds; see `docs/questions.md`."""
        return figures.mean_answers(self.results)

    @cached_property
    def _draws(self) -> list[Draws]:
        return [figures.draws([result])[0] for result in self.results]

    def table(self) -> "pyarrow.Table":
        """All episodes: fold, number, class, query, pixel counts; see its `to_pandas`.

        Last stand further counts and `presence`, null in a fold that was not asked for them.
        """
        import pyarrow as pa

        tables = (
            pa.table(
                {
                    "fold": [result.key.fold] * len(result.counts),
                    "episode": result.counts.episode,
                    "class": [
                        result.record.setup.dataset.classes[index]
                        for index in result.counts.class_id.tolist()
                    ],
                    "query": list(result.queries),
                }
                | {name: result.counts.areas[:, column] for column, name in enumerate(COUNTS)}
                | result.counts.beside
            )
            for result in self.results
        )
        return pa.concat_tables(tables, promote_options="default")

    def __str__(self) -> str:
        low, high = self.miou.interval.low, self.miou.interval.high
        folds = ", ".join(str(result.key.fold) for result in self.results)
        some = f"{len(self.results)} of {self.of} folds ({folds})"
        which = some if len(self.results) < self.of else f"folds {folds}"
        return (
            f"{self.model} on {self.dataset}, {self.protocol}, {self.shots}-shot, {which}: "
            f"mIoU {100 * self.miou.value:.1f} ({100 * low:.1f}–{100 * high:.1f}), "
            f"FB-IoU {100 * self.fb_iou.value:.1f}"
        )


def evaluations(results: Iterable[Result]) -> list[Evaluation]:
    """Results put together by dataset, protocol, model and shots, in that order.

    Folds that were measured with other options, or on data of another digest, stand by themselves:
    a mean would be no model's, or no dataset's.
    """

    def setting(result: Result) -> tuple[str, str, str, int]:
        key = result.key
        return key.dataset, key.protocol, key.model, key.shots

    ordered = sorted(results, key=lambda result: (*setting(result), result.key.fold))
    return [Evaluation(own) for _, row in groupby(ordered, setting) for own in _alike(list(row))]


def _alike(row: list[Result]) -> Iterator[tuple[Result, ...]]:
    """A row's folds, apart where their options or their data differ."""
    while row:
        first = row[0].record.setup
        own = [r for r in row if _is_alike(first, r.record.setup)]
        row = [r for r in row if not _is_alike(first, r.record.setup)]
        yield tuple(own)


def _is_alike(a: Setup, b: Setup) -> bool:
    return a.dataset.digest == b.dataset.digest and other_option(a, b) is None
