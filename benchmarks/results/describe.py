"""What a result says of its model, data, protocol and course."""

from collections.abc import Mapping

import numpy as np

from benchmarks.evaluation import metrics
from benchmarks.protocols.catalog import Protocol
from benchmarks.results import environment
from benchmarks.results.journal import Journal
from benchmarks.results.records import (
    Course,
    DatasetRecord,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    Setup,
)
from datasets_prep.prepared.dataset import PreparedDataset
from models.catalog import Card
from models.custom import code_digest, module_name
from models.segmenter import Segmenter, trait


def model_record(
    name: str, model: Segmenter, dataset: str, target: str | None = None
) -> ModelRecord:
    """The model called `name`, as far as it matters on `dataset`.

    Args:
        name: under which its results are kept.
        model: the loaded model.
        dataset: the dataset's name.
        target: the registered name or the spec that it was loaded by, if it was.
    """
    card: Card = getattr(model, "card", Card(title=name, summary=""))
    seen: Mapping[str, str] = card.sees_test_classes or {}
    return ModelRecord(
        name=name,
        title=card.title,
        kind=card.kind,
        config=dict(trait(model, "config")),
        weights_digest=trait(model, "weights_digest"),
        parameters=trait(model, "parameters"),
        comparable=trait(model, "comparable"),
        sees_test_classes=seen.get(dataset, seen.get("*", "unknown")),
        trained_fold=trait(model, "trained_fold").get(dataset),
        source_digest=code_digest(*_modules(model, target)),
    )


def _modules(model: Segmenter, target: str | None) -> set[str]:
    """Where its class is defined, and the module that a user named, whose factory may make it."""
    named = None if target is None else module_name(target)
    return {type(model).__module__} | ({named} if named else set())


def dataset_record(dataset: PreparedDataset, fold: int, shots: int) -> DatasetRecord:
    """What a result says of its dataset."""
    novel = dataset.folds.fold(fold, shots).novel
    return DatasetRecord(
        name=dataset.name,
        digest=dataset.digest,
        lists=dataset.folds.lists,
        folds=len(dataset.folds.folds),
        classes={index: dataset.classes[index] for index in novel},
    )


def protocol_record(protocol: Protocol, limit: int | None = None) -> ProtocolRecord:
    """What a result says of its protocol; a list cut to its first `limit` episodes is one run."""
    return ProtocolRecord(
        name=protocol.name,
        resolution=protocol.resolution,
        seed=protocol.seed,
        ignore=protocol.ignore,
        aggregation=protocol.aggregation,
        undrawn=protocol.undrawn,
        runs=protocol.runs if limit is None else 1,
    )


def course_here(device: str, started: str) -> Course:
    """How measuring in this process alone went.

    Args:
        device: "cpu" or "cuda".
        started: UTC, ISO 8601.
    """
    return Course(
        started=started,
        hardware=environment.hardware(device),
        peak_memory_bytes=environment.peak_memory(device),
        cache=None,
        versions=environment.versions(),
        revision=environment.revision(),
    )


def make_record(setup: Setup, journal: Journal, course: Course) -> RunRecord:
    """The record of a run whose rows are all in `journal`."""
    counts = journal.counts()
    classes = list(setup.dataset.classes)
    times = [row.milliseconds for row in journal.rows]
    return RunRecord(
        setup=setup,
        miou=metrics.miou(counts, classes, setup.protocol.undrawn, setup.protocol.runs),
        fb_iou=metrics.fb_iou(counts, setup.protocol.runs),
        class_iou=dict(metrics.class_ious(counts, classes, setup.protocol.undrawn)),
        seconds=round(journal.seconds, 3),
        sittings=journal.sittings,
        episodes_per_second=round(len(counts) / max(journal.seconds, 1e-9), 3),
        milliseconds_per_episode=round(float(np.median(times)), 3),
        **dict(course),
    )
