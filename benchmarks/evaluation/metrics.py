"""mIoU and FB-IoU from integer pixel counts.

Counts are summed per class over episodes before any division, as all published protocols do;
nothing here is a mean of per-image IoU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Undrawn = Literal["zero", "left out"]
COUNTS = ("fg_intersection", "fg_union", "bg_intersection", "bg_union")


@dataclass(frozen=True)
class EpisodeCounts:
    """Per-episode counts, one row an episode.

    Attributes:
        episode: n episode numbers.
        class_id: n class indices.
        areas: n×4 pixels, columns as in `COUNTS`; ignore pixels are in none of them.
    """

    episode: Integers
    class_id: Integers
    areas: Integers

    def __len__(self) -> int:
        return len(self.episode)

    def runs(self, number: int) -> list["EpisodeCounts"]:
        """The rows cut into `number` equal runs by episode number; none of them is empty."""
        order = np.argsort(self.episode, kind="stable")
        return [
            EpisodeCounts(self.episode[part], self.class_id[part], self.areas[part])
            for part in np.array_split(order, number)
            if len(part)
        ]

    def class_areas(self, classes: Sequence[int]) -> Integers:
        """Counts summed per class: C×4 in the order of `classes`."""
        sums = np.zeros((max((*classes, *self.class_id, 0)) + 1, 4), dtype=np.int64)
        np.add.at(sums, self.class_id, self.areas)
        return sums[list(classes)]


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
