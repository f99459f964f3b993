"""What protocols with a question of their own report beside mIoU, from the same integer counts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.metrics import EpisodeCounts, Undrawn, miou

MARKED = 1e-3  # the share of an image that must be marked for a false alarm


def absence(
    counts: EpisodeCounts, queries: Sequence[str], classes: Sequence[int], undrawn: Undrawn
) -> Mapping[str, float]:
    """`absent-v1`: odd episodes have queries without the class, where all that is marked is wrong.

    Returns:
        false_alarm_rate: the share of absent queries of which more than 0.1% is marked;
        marked_area: the mean share of an absent query that is marked;
        presence_auroc: the area under the ROC curve of the model's presence, where it has one;
        present_miou: the mIoU of the present queries alone, as `fixed-v1` has it; the result's own
        mIoU counts the unions of the absent ones too. All in 0..1.
    """
    absent = counts.episode % 2 == 1
    areas = counts.areas[absent].astype(np.float64)
    # Nothing is foreground there, so the union is what is marked.
    shares = areas[:, 1] / np.maximum(areas[:, 1] + areas[:, 2], 1)
    found = {"present_miou": miou(counts.part(~absent), classes, undrawn)}
    if len(shares):
        found |= {
            "false_alarm_rate": float(np.mean(shares > MARKED)),
            "marked_area": float(np.mean(shares)),
        }
    if counts.presence is not None and absent.any():
        found["presence_auroc"] = auroc(counts.presence[~absent], counts.presence[absent])
    return found


def auroc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """The area under the ROC curve in 0..1 of scores that are to be larger where a class is there.

    That is the Mann-Whitney statistic: the share of all pairs of a present and an absent query of
    which the present one has the larger score, equal scores counted half (Hanley and McNeil 1982).

    Args:
        present: scores of the queries that hold the class, at least one.
        absent: of those that do not, at least one.
    """
    ordered = np.sort(absent)
    smaller, no_larger = (np.searchsorted(ordered, present, side) for side in ("left", "right"))
    return float((smaller + no_larger).sum() / (2 * len(present) * len(absent)))


def spread(
    counts: EpisodeCounts, queries: Sequence[str], classes: Sequence[int], undrawn: Undrawn
) -> Mapping[str, float]:
    """`supports-v1`: how the IoU of a query moves with its support.

    The share of variance is that of a one-way random-effects analysis with queries as groups: the
    variance within queries, and that between them less what the supports add to their means.

    Returns:
        support_mean, support_std, support_worst, support_best: of a query's IoU over its supports,
        averaged over queries; support_share: the share of the variance of IoU that is the
        support's and not the query's. All in 0..1; nothing where no query has two supports.
    """
    ious = [own for own in ious_by_query(counts, queries).values() if len(own) > 1]
    if len(ious) < 2:
        return {}
    within = float(np.mean([own.var(ddof=1) for own in ious]))
    number = float(np.mean([len(own) for own in ious]))
    between = max(float(np.var([own.mean() for own in ious], ddof=1)) - within / number, 0.0)
    total = within + between
    return {
        "support_mean": float(np.mean([own.mean() for own in ious])),
        "support_std": float(np.mean([own.std(ddof=1) for own in ious])),
        "support_worst": float(np.mean([own.min() for own in ious])),
        "support_best": float(np.mean([own.max() for own in ious])),
        # Equal figures differ by their rounding, which is no variance of anything.
        "support_share": within / total if total > 1e-12 else 0.0,
    }


def together(
    counts: EpisodeCounts,
    queries: Sequence[str],
    classes: Sequence[int],
    undrawn: Undrawn,
    *,
    ways: int,
) -> Mapping[str, float]:
    """`nwayN-v1`: of each two queries the first holds two of the classes that are asked for.

    Returns:
        two_there_miou, one_there_miou: the mIoU of the first ones and of the others, where more
        than one is there by chance alone, in 0..1.
    """
    two = counts.episode // ways % 2 == 0
    parts = {"two_there_miou": counts.part(two), "one_there_miou": counts.part(~two)}
    return {name: miou(own, classes, undrawn) for name, own in parts.items() if len(own)}


def ious_by_query(
    counts: EpisodeCounts, queries: Sequence[str]
) -> Mapping[tuple[int, str], NDArray[np.float64]]:
    """The IoU in 0..1 of every episode of a (class, query), in the list's order."""
    found: dict[tuple[int, str], list[float]] = {}
    for index, query, iou in zip(
        counts.class_id.tolist(), queries, counts.ious.tolist(), strict=True
    ):
        found.setdefault((index, query), []).append(iou)
    return {place: np.array(ious) for place, ious in found.items()}


Answer = Callable[[EpisodeCounts, Sequence[str], Sequence[int], Undrawn], Mapping[str, float]]

# By the recipe of the episode list, whose order the answers rely on.
ANSWERS: Mapping[str, Answer] = {
    "absent-v1": absence,
    "supports-v1": spread,
    "nway2-v1": partial(together, ways=2),
    "nway5-v1": partial(together, ways=5),
}

# What tables head the figures with.
HEADS: Mapping[str, str] = {
    "boundary_iou": "boundary IoU",
    "present_miou": "mIoU, present alone",
    "false_alarm_rate": "false alarms",
    "marked_area": "marked area",
    "presence_auroc": "presence AUROC",
    "two_there_miou": "mIoU, two there",
    "one_there_miou": "mIoU, one there",
    "support_mean": "mean IoU",
    "support_std": "± of supports",
    "support_worst": "worst support",
    "support_best": "best support",
    "support_share": "support's share of variance",
}
