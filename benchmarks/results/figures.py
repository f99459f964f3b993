"""A result's figures, as its own protocol has them."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.evaluation import intervals, metrics, questions
from benchmarks.evaluation.metrics import EpisodeCounts, Undrawn
from benchmarks.results.records import RunRecord
from benchmarks.results.store import Result


def classes(result: Result) -> list[int]:
    """The novel classes of the result's fold."""
    return list(result.record.setup.dataset.classes)


def miou(result: Result) -> float:
    """The fold's mIoU in 0..1."""
    protocol = result.record.setup.protocol
    return metrics.miou(result.counts, classes(result), protocol.undrawn, protocol.runs)


def fb_iou(result: Result) -> float:
    """The fold's FB-IoU in 0..1."""
    return metrics.fb_iou(result.counts, result.record.setup.protocol.runs)


def class_ious(result: Result) -> Mapping[int, float]:
    """IoU in 0..1 of every class that counts."""
    return metrics.class_ious(result.counts, classes(result), result.record.setup.protocol.undrawn)


def asked(record: RunRecord) -> bool:
    """Whether anything was asked beside mIoU, by the protocol or by `--metrics`."""
    return record.setup.episodes.recipe in questions.ANSWERS or bool(record.setup.metrics)


def answers(result: Result) -> Mapping[str, float]:
    """What was asked beside mIoU, in 0..1; nothing of most results."""
    setup, own = result.record.setup, classes(result)
    found: dict[str, float] = {}
    border = result.counts.at_border()
    if border is not None:
        found["boundary_iou"] = metrics.miou(
            border, own, setup.protocol.undrawn, setup.protocol.runs
        )
    ask = questions.ANSWERS.get(setup.episodes.recipe)
    if ask is not None:
        found |= ask(result.counts, result.queries, own, setup.protocol.undrawn)
    return found


def mean_answers(results: Sequence[Result]) -> Mapping[str, float]:
    """The mean over folds of every answer that all of them have."""
    every = [answers(result) for result in results]
    shared = [name for name in every[0] if all(name in own for own in every)]
    return {name: fmean(own[name] for own in every) for name in shared}


def draws(models: Sequence[Result]) -> list[intervals.Draws]:
    """Draws of one fold's figures; all `models` were measured on the same episodes."""
    return intervals.bootstrap(*_of_one_list(models), seed=models[0].key.fold)


def clusters(models: Sequence[Result]) -> list[intervals.ClassClusters]:
    """What is drawn again of one fold; all `models` were measured on the same episodes."""
    return intervals.cluster(*_of_one_list(models))


def _of_one_list(
    models: Sequence[Result],
) -> tuple[list[EpisodeCounts], Sequence[str], list[int], Undrawn, int]:
    """Every model's counts, and what is the same for all: see `intervals.bootstrap`."""
    first, protocol = models[0], models[0].record.setup.protocol
    counts = [result.counts for result in models]
    return counts, first.queries, classes(first), protocol.undrawn, protocol.runs
