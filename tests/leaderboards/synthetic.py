"""Results of made-up models, written through the journal as a real run writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation import metrics
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results.journal import Journal, Row
from benchmarks.results.records import (
    CacheRecord,
    DatasetRecord,
    EpisodesRecord,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    Setup,
    StagesRecord,
)
from benchmarks.results.store import RunKey, protocol_folder

CLASSES = ("disc", "ring", "star", "cross", "wave", "leaf", "gear", "moon")


def make_setup(**changes: Any) -> Setup:
    """A setup of 40 episodes on 4 folds of two classes; `changes` name fields of any part."""
    dataset, fold, shots = (
        changes.get("dataset", "toy"),
        changes.get("fold", 0),
        changes.get("shots", 1),
    )
    protocol = get_protocol(changes.get("protocol", "fixed-v1"))
    fields: dict[str, Any] = {
        "name": "alpha",
        "title": "Alpha",
        "kind": "model",
        "config": {"backbone": "tiny"},
        "weights_digest": "ab" * 32,
        "parameters": 1_234_567,
        "comparable": True,
        "sees_test_classes": "no",
        "trained_fold": None,
        "trained_on": None,
        "source_digest": None,
        "digest": "d" * 64,
        "lists": "derived",
        "folds": 4,
        "classes": {index: CLASSES[index % 8] for index in (2 * fold, 2 * fold + 1)},
        "labels_digest": None,
        "untested": (),
        "episodes": f"{fold}{shots}" + "e" * 62,
        "count": 40,
        "limit": None,
        "device": "cpu",
        "dtype": "fp32",
        "batch_size": 1,
        **changes,
    }

    def pick(*names: str) -> dict[str, Any]:
        return {name: fields[name] for name in names}

    return Setup(
        model=ModelRecord(
            **pick("name", "title", "kind", "config", "weights_digest"),
            **pick("parameters", "comparable", "sees_test_classes", "trained_fold"),
            **pick("source_digest", "trained_on"),
        ),
        dataset=DatasetRecord(
            name=dataset,
            **pick("digest", "lists", "folds", "classes", "labels_digest", "untested"),
        ),
        protocol=ProtocolRecord(
            name=protocol.name,
            resolution=protocol.resolution,
            seed=protocol.seed,
            ignore=protocol.ignore,
            aggregation=protocol.aggregation,
            undrawn=protocol.undrawn,
            runs=protocol.runs if fields["limit"] is None else 1,
        ),
        episodes=EpisodesRecord(
            recipe=protocol.recipe, digest=fields["episodes"], **pick("count", "limit")
        ),
        fold=fold,
        shots=shots,
        **pick("device", "dtype", "batch_size"),
    )


def make_rows(setup: Setup, skill: float = 0.6, seed: int = 0) -> list[Row]:
    """Counts of 20×20 queries on which a model is right about `skill` of the foreground."""
    random = np.random.default_rng(1000 * setup.fold + seed)
    classes = sorted(setup.dataset.classes)
    truths = np.random.default_rng(setup.fold).integers(40, 200, setup.episodes.count)
    rows = []
    for index, truth in enumerate(truths.tolist()):
        hit = round(truth * float(np.clip(random.normal(skill, 0.15), 0, 1)))
        false = int(random.integers(0, 60))
        areas = (hit, truth + false, 400 - truth - false, 400 - hit)
        rows.append(Row(index, classes[index % len(classes)], areas, 2.0 + index % 3))
    return rows


def with_presence(rows: Sequence[Row], skill: float = 0.6, seed: int = 0) -> list[Row]:
    """The rows of a model that says whether the class is there: in even episodes, in `absent-v1`.

    `skill` is how far the means of both kinds are apart, in standard deviations.
    """
    random = np.random.default_rng(seed)
    return [
        replace(row, presence=float(random.normal(0 if row.episode % 2 else skill))) for row in rows
    ]


def query_names(count: int) -> list[str]:
    """Every query is asked for twice, a class apart."""
    return [f"img_{index % max(count // 2, 1):04d}" for index in range(count)]


def counts_of(rows: Sequence[Row]) -> EpisodeCounts:
    """The rows as arrays."""
    return EpisodeCounts(
        np.array([row.episode for row in rows]),
        np.array([row.class_id for row in rows]),
        np.array([row.areas for row in rows], dtype=np.int64).reshape(-1, 4),
    )


def make_record(setup: Setup, rows: Sequence[Row], **changes: Any) -> RunRecord:
    """A record whose figures are those of `rows`."""
    counts, classes = counts_of(rows), list(setup.dataset.classes)
    undrawn, runs = setup.protocol.undrawn, setup.protocol.runs
    fields: dict[str, Any] = {
        "miou": metrics.miou(counts, classes, undrawn, runs),
        "fb_iou": metrics.fb_iou(counts, runs),
        "class_iou": dict(metrics.class_ious(counts, classes, undrawn)),
        "started": "2026-11-02T10:00:00+00:00",
        "seconds": 1.5,
        "sittings": 1,
        "episodes_per_second": 26.667,
        "milliseconds_per_episode": 3.0,
        "peak_memory_bytes": 1 << 20,
        "hardware": "Toy CPU, 2 cores",
        "cache": CacheRecord(
            image_encodes=20,
            support_encodes=20,
            naive_image_encodes=80,
            naive_support_encodes=40,
            peak_bytes=1000,
        ),
        "stages": StagesRecord(load=0.2, encode_images=0.6, segment=0.4, score=0.1),
        "versions": {"python": "3.11.9", "torch": "2.9.0"},
        "revision": "0123456789abcdef",
    }
    return RunRecord(setup=setup, **{**fields, **changes})


def write_run(
    results_root: Path,
    *,
    skill: float = 0.6,
    seed: int = 0,
    presence: bool = False,
    record: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunKey:
    """Write one finished run into the store."""
    setup = make_setup(**changes)
    protocol = protocol_folder(setup.protocol.name, setup.episodes.limit)
    key = RunKey(setup.dataset.name, protocol, setup.model.name, setup.fold, setup.shots)
    rows = make_rows(setup, skill, seed)
    if presence:
        rows = with_presence(rows, skill, setup.fold)
    with Journal(key.folder(results_root), setup, "fresh") as journal:
        journal.append(rows, 1.5)
        journal.finish(make_record(setup, rows, **(record or {})), query_names(len(rows)))
    return key


def write_model(results_root: Path, name: str, *, folds: int = 4, **changes: Any) -> list[RunKey]:
    """Write a model's runs on all folds."""
    return [write_run(results_root, name=name, fold=fold, **changes) for fold in range(folds)]
