"""mIoU and FB-IoU from integer pixel counts.

Counts are summed per class over episodes before any division, as all published protocols do;
nothing here is a mean of per-image IoU.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchError

Integers = NDArray[np.int64]
Undrawn = Literal["zero", "left out"]
COUNTS = ("fg_intersection", "fg_union", "bg_intersection", "bg_union")
# What is counted only where it is asked for, and the further counts of an episode that it makes.
Metric = Literal["boundary"]
METRICS: Mapping[Metric, tuple[str, ...]] = {
    "boundary": ("boundary_intersection", "boundary_union"),
}


@dataclass(frozen=True)
class EpisodeCounts:
    """Per-episode counts, one row an episode.

    Attributes:
        episode: n episode numbers.
        class_id: n class indices.
        areas: n×4 pixels, columns as in `COUNTS`; ignore pixels are in none of them.
        further: n pixels each, by names as in `METRICS`, of what was asked for beside them.
        presence: n finite numbers, the larger the likelier that the query holds the class, as the
            model says; None where it was not asked or does not say.
    """

    episode: Integers
    class_id: Integers
    areas: Integers
    further: Mapping[str, Integers] = field(default_factory=dict)
    presence: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def ious(self) -> NDArray[np.float64]:
        """IoU of each of the n episodes, 0..1; 1 where the class is neither there nor found."""
        intersections, unions = self.areas[:, 0], self.areas[:, 1]
        return np.where(unions == 0, 1.0, intersections / np.maximum(unions, 1))

    @property
    def beside(self) -> dict[str, NDArray[Any]]:
        """What there is beside the areas, by the names of its columns."""
        return {**self.further, **({} if self.presence is None else {"presence": self.presence})}

    def runs(self, number: int) -> list["EpisodeCounts"]:
        """The rows cut into `number` equal runs by episode number; none of them is empty."""
        order = np.argsort(self.episode, kind="stable")
        return [self.part(rows) for rows in np.array_split(order, number) if len(rows)]

    def part(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "EpisodeCounts":
        """Some of the rows, by number or by mask."""
        further = {name: own[rows] for name, own in self.further.items()}
        presence = None if self.presence is None else self.presence[rows]
        return EpisodeCounts(
            self.episode[rows], self.class_id[rows], self.areas[rows], further, presence
        )

    def at_border(self) -> "EpisodeCounts | None":
        """The same with intersection and union of borders alone; None where they were not counted.

        IoU of these counts is Boundary IoU; there is no background in them.
        """
        if not self.further.keys() >= set(METRICS["boundary"]):
            return None
        areas = np.zeros_like(self.areas)
        for column, name in enumerate(METRICS["boundary"]):
            areas[:, column] = self.further[name]
        return EpisodeCounts(self.episode, self.class_id, areas)

    def class_areas(self, classes: Sequence[int]) -> Integers:
        """Counts summed per class: C×4 in the order of `classes`."""
        sums = np.zeros((max((*classes, *self.class_id, 0)) + 1, 4), dtype=np.int64)
        np.add.at(sums, self.class_id, self.areas)
        return sums[list(classes)]


def known_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Names of `METRICS`, each once, sorted.

    Raises:
        BenchError: for a name that is none.
    """
    wanted = sorted(set(names))
    for name in wanted:
        if name not in METRICS:
            raise BenchError(f"no metric is called {name!r}; there is {', '.join(METRICS)}")
    return tuple(metric for metric in METRICS if metric in wanted)


def further_counts(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The names of the counts that `metrics` make, in order."""
    return tuple(name for metric in metrics for name in METRICS[metric])


def count(
    prediction: NDArray[np.bool_], truth: NDArray[np.uint8], ignore: int = 255
) -> tuple[int, int, int, int]:
    """Foreground and background intersection and union of one mask, as `COUNTS` has them.

    Args:
        prediction: H×W bool.
        truth: H×W, 1 foreground, 0 background, `ignore` left out.
        ignore: the value of pixels that do not count.
    """
    valid = truth != ignore
    foreground = truth == 1
    intersection = _pixels(prediction & foreground)
    union = _pixels(prediction & valid) + _pixels(foreground) - intersection
    pixels = _pixels(valid)
    return intersection, union, pixels - union, pixels - intersection


def _pixels(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def class_ious(
    counts: EpisodeCounts, classes: Sequence[int], undrawn: Undrawn
) -> Mapping[int, float]:
    """IoU in 0..1 per novel class; a class that no episode drew is 0 or is left out."""
    areas = counts.class_areas(classes)
    drawn = set(counts.class_id.tolist())
    return {
        index: intersection / max(union, 1)
        for index, (intersection, union) in zip(classes, areas[:, :2].tolist(), strict=True)
        if undrawn == "zero" or index in drawn
    }


def miou(counts: EpisodeCounts, classes: Sequence[int], undrawn: Undrawn, runs: int = 1) -> float:
    """A fold's mIoU in 0..1: the mean of class IoU, and of that over the list's runs."""
    per_run = [
        float(np.mean(list(class_ious(run, classes, undrawn).values())))
        for run in counts.runs(runs)
    ]
    return float(np.mean(per_run))


def fb_iou(counts: EpisodeCounts, runs: int = 1) -> float:
    """A fold's FB-IoU in 0..1: the mean of foreground and background IoU of all pixels."""
    per_run = []
    for run in counts.runs(runs):
        sums = run.areas.sum(axis=0)
        per_run.append(float(np.mean(sums[[0, 2]] / np.maximum(sums[[1, 3]], 1))))
    return float(np.mean(per_run))
