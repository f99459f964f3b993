"""Bootstrap intervals: how far the figures would move with other query images.

Query images are drawn again with replacement within each class, and an image brings all its
episodes of that class along: episodes that share a query are not independent, and lists that walk
round their images (PASCAL-5i has 346 queries in 1000 episodes) would look too certain otherwise.
Classes and folds stay as they are, so an interval says nothing about other classes.

A draw is a vector of multinomial weights over a class's images, and the weighted sums of all
draws are one matrix product. All models of one list share the draws, so the difference of two
models' draws is the bootstrap of their difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.metrics import EpisodeCounts, Integers, Undrawn

Floats = NDArray[np.float64]
RESAMPLES = 10_000
_BLOCK = 250  # draws at a time, so that their weights stay in the processor's cache


@dataclass(frozen=True)
class Interval:
    """The middle 95% of a figure's draws, in the figure's unit."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Figure:
    """A number in 0..1 and its 95% interval."""

    value: float
    interval: Interval

    def signed(self) -> str:
        """A difference in percent points: `+1.2 (+0.4 to +2.0)`."""
        low, high = self.interval.low, self.interval.high
        return f"{100 * self.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


@dataclass(frozen=True)
class Draws:
    """One model's figures on one fold, drawn again and again.

    Attributes:
        class_iou: the 95% interval, in 0..1, of every class that counts.
        miou: one fold mIoU in 0..1 a draw.
        fb_iou: one FB-IoU in 0..1 a draw.
    """

    class_iou: Mapping[int, Interval]
    miou: Floats
    fb_iou: Floats


def interval(draws: Floats) -> Interval:
    """The 2.5% and 97.5% points of a figure's draws."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(float(low), float(high))


def over_folds(folds: Sequence[Floats]) -> Floats:
    """The draws of a dataset's figure: the mean over folds, draw by draw."""
    return np.mean(folds, axis=0)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ClassClusters:
    """What is drawn of one class: its query images.

    Attributes:
        index: the class.
        share: per run, the weight of the class's IoU in the mIoU; over all classes they sum to 1.
        areas: images × models × runs × 4, columns as in `COUNTS`.
    """

    index: int
    share: Floats
    areas: Floats


def cluster(
    models: Sequence[EpisodeCounts],
    queries: Sequence[str],
    classes: Sequence[int],
    undrawn: Undrawn,
    runs: int = 1,
) -> list[ClassClusters]:
    """Sum the episodes of one fold by class and query image; arguments as in `bootstrap`."""
    first = models[0]
    for other in models[1:]:
        if not np.array_equal(first.class_id, other.class_id):
            raise ValueError("the models were not measured on the same episodes")
    run = _run_numbers(len(first), runs)
    images = np.unique(np.asarray(queries, dtype=str), return_inverse=True)[1]
    areas = np.stack([model.areas for model in models], axis=1)
    shares = _shares(first.class_id, run, classes, undrawn)
    found = []
    for index, share in zip(classes, shares.T, strict=True):
        if share.any():
            rows = np.flatnonzero(first.class_id == index)
            names, places = np.unique(images[rows], return_inverse=True)
            sums = np.zeros((len(names), len(shares), len(models), 4))
            np.add.at(sums, (places, run[rows]), areas[rows])
            found.append(ClassClusters(index, share, sums.swapaxes(1, 2)))
    return found


def draw(own: ClassClusters, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Draws × models × runs × 4: sums over as many images, drawn again, as the class has."""
    number, rest = len(own.areas), own.areas.shape[1:]
    if not number:
        return np.zeros((resamples, *rest))
    random = np.random.default_rng([seed, own.index])
    flat = own.areas.reshape(number, -1)
    blocks = []
    for start in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - start)
        picks = random.integers(number, size=(block, number))
        picks += number * np.arange(block)[:, None]
        weights = np.bincount(picks.ravel(), minlength=block * number).reshape(block, number)
        # Pixel sums stay far below 2^53, so the product is exact in any order.
        blocks.append(weights.astype(np.float64) @ flat)
    return np.concatenate(blocks).reshape(resamples, *rest)


def pooled_iou(sums: Floats) -> Floats:
    """Class IoU of all runs together, from ... × runs × 4."""
    return _ratio(sums.sum(axis=-2)[..., :2])


def shared_iou(sums: Floats, share: Floats) -> Floats:
    """What a class adds to the mIoU, from ... × runs × 4."""
    return (_ratio(sums[..., :2]) * share).sum(axis=-1)  # type: ignore[no-any-return]


def total_fb_iou(totals: Floats) -> Floats:
    """FB-IoU from sums over all classes, ... × runs × 4."""
    return (_ratio(totals[..., :2]) + _ratio(totals[..., 2:])).mean(axis=-1) / 2  # type: ignore[no-any-return]


def bootstrap(
    models: Sequence[EpisodeCounts],
    queries: Sequence[str],
    classes: Sequence[int],
    undrawn: Undrawn,
    runs: int = 1,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Draws]:
    """Draw the query images of one fold again and score every model on the same draws.

    Args:
        models: each model's counts on one list, ordered by episode number.
        queries: the query image of each episode.
        classes: the fold's novel classes.
        undrawn: what becomes of classes that the list (not a draw) leaves out.
        runs: the list holds this many equal runs, scored apart and averaged.
        seed: draws of different seeds are independent; give each fold its own.
        resamples: how many draws.

    Returns:
        One `Draws` a model.

    Raises:
        ValueError: if the models were not measured on the same episodes.
    """
    intervals: list[dict[int, Interval]] = [{} for _ in models]
    mious = np.zeros((resamples, len(models)))
    totals = np.zeros((resamples, len(models), min(runs, max(len(models[0]), 1)), 4))
    for own in cluster(models, queries, classes, undrawn, runs):
        sums = draw(own, seed, resamples)
        for found, values in zip(intervals, pooled_iou(sums).T, strict=True):
            found[own.index] = interval(values)
        mious += shared_iou(sums, own.share)
        totals += sums
    fb_ious = total_fb_iou(totals)
    return [
        Draws(found, miou, fb_iou)
        for found, miou, fb_iou in zip(intervals, mious.T.copy(), fb_ious.T.copy(), strict=True)
    ]


def _run_numbers(episodes: int, runs: int) -> Integers:
    """The run of each episode, cut as `EpisodeCounts.runs` cuts."""
    parts = np.array_split(np.arange(episodes), min(runs, max(episodes, 1)))
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _shares(class_id: Integers, run: Integers, classes: Sequence[int], undrawn: Undrawn) -> Floats:
    """Runs × classes: the weight of a class's IoU in the mIoU; it sums to 1."""
    counts = np.array([[undrawn == "zero"] * len(classes)] * (int(run.max(initial=0)) + 1))
    for column, index in enumerate(classes):
        counts[run[class_id == index], column] = True
    return counts / counts.sum(axis=1, keepdims=True) / len(counts)  # type: ignore[no-any-return]


def _ratio(sums: Floats) -> Floats:
    """Intersection over union along the last axis; 0 where there is neither."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)
