"""What a result says of its model, data, protocol and course."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from benchmarks.config.schema import ModelConfig
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
    TrainingRecord,
)
from datasets_prep.prepared.dataset import PreparedDataset
from models.catalog import Card
from models.custom import code_digest, module_name
from models.segmenter import Segmenter, trait
from models.weights.trained_on import TrainedOn, fold_of, parse, sees, told_by, united


def training(model: Segmenter, wanted: ModelConfig) -> tuple[TrainedOn, ...]:
    """What a model was trained on, by its checkpoint and by what its user says.

    Raises:
        ModelError: if those disagree.
    """
    by_checkpoint = trait(model, "trained_on")
    if by_checkpoint is None:
        by_checkpoint = told_by(wanted.options)
    return united([*by_checkpoint, *(parse(text) for text in wanted.trained_on)])


def model_record(
    name: str,
    model: Segmenter,
    dataset: str,
    target: str | None = None,
    trained_on: Sequence[TrainedOn] = (),
) -> ModelRecord:
    """The model called `name`, as far as it matters on `dataset`.

    What is known of a checkpoint decides whether it has seen the test classes; where nothing is,
    the model's card does.

    Args:
        name: under which its results are kept.
        model: the loaded model.
        dataset: the dataset's name.
        target: the registered name or the spec that it was loaded by, if it was.
        trained_on: what `training` knows.
    """
    card: Card = getattr(model, "card", Card(title=name, summary=""))
    by_card: Mapping[str, str] = card.sees_test_classes or {}
    seen = by_card.get(dataset, by_card.get("*", "unknown"))
    known = trained_on or [TrainedOn(name, None, "the model's card") for name in card.trained_on]
    return ModelRecord(
        name=name,
        title=card.title,
        kind=card.kind,
        config=dict(trait(model, "config")),
        weights_digest=trait(model, "weights_digest"),
        parameters=trait(model, "parameters"),
        comparable=trait(model, "comparable"),
        sees_test_classes=sees(trained_on, dataset) if trained_on else seen,
        text_prompts=card.text_prompts,
        trained_fold=fold_of(trained_on, dataset),
        trained_on=tuple(TrainingRecord(**asdict(entry)) for entry in known),
        source_digest=code_digest(*_modules(model, target)),
    )


def _modules(model: Segmenter, target: str | None) -> set[str]:
    """Where its class is defined, and the module that a user named, whose factory may make it."""
    named = None if target is None else module_name(target)
    return {type(model).__module__} | ({named} if named else set())


def dataset_record(
    dataset: PreparedDataset, fold: int, shots: int, *, reads_pixels: bool = True
) -> DatasetRecord:
    """What a result says of its dataset; without pixels it is bound to labels and lists alone."""
    novel = dataset.folds.fold(fold, shots).novel
    labels = dataset.labels_digest
    return DatasetRecord(
        name=dataset.name,
        digest=dataset.digest if reads_pixels or labels is None else labels,
        lists=dataset.folds.lists,
        folds=len(dataset.folds.folds),
        classes={index: dataset.classes[index] for index in novel},
        labels_digest=labels,
        untested=tuple(sorted({*range(len(dataset.folds.folds))} - {*dataset.folds.tested})),
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
