"""Runs the whole matrix: every model on every dataset, fold and shot.

A model is loaded once and freed before the next. Pixels and features outlive their model, so
models with the same backbone, weights and geometry share what depends on one image.
"""

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import torch

from benchmarks.cache import FeatureCache, Tier
from benchmarks.config import BenchConfig, ModelConfig
from benchmarks.describe import dataset_record, make_record, model_record, protocol_record
from benchmarks.environment import reset_peak_memory
from benchmarks.errors import BenchError
from benchmarks.evaluator import Evaluator, trait
from benchmarks.loader import Loader
from benchmarks.matrix import Cell, cells
from benchmarks.plan import Plan, make_plan
from benchmarks.records import CacheRecord, RunRecord, Setup, read_record
from benchmarks.store import (
    Journal,
    Resume,
    RunKey,
    Unfinished,
    check_same,
    is_complete,
    previous_setup,
    read_unfinished,
)
from models.catalog import MODELS, load_model
from models.custom import load_custom
from models.segmenter import Segmenter

_GPU_ENCODE_BATCH = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one run: its record, or how far it came where episodes failed."""

    key: RunKey
    status: Literal["measured", "already complete", "unfinished"]
    record: RunRecord | None
    unfinished: Unfinished | None = None


class Listener(Protocol):
    """Hears how the matrix comes along."""

    def run_started(self, key: RunKey, total: int, done: int) -> None:
        """A run of `total` episodes begins, `done` of them are there already."""

    def advanced(self, episodes: int) -> None:
        """So many more episodes are through."""

    def run_finished(self, outcome: Outcome) -> None:
        """A run is whole, or has tried all of its episodes."""

    def note(self, text: str) -> None:
        """One line worth reading."""


def run_matrix(
    config: BenchConfig, *, resume: Resume = "resume", listener: Listener
) -> list[Outcome]:
    """Run everything in `config` that the results store does not hold yet.

    Args:
        config: the matrix.
        resume: "resume" skips finished runs and goes on with begun ones; "fresh" measures again.
        listener: told how it comes along.

    Returns:
        One outcome per (model, dataset, fold, shots), in that order.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    device = resolve_device(config.device)
    if device.index is not None:
        # Records name the device by its type, and so ask of the one that is current.
        torch.cuda.set_device(device)
    every = list(cells(config))
    cache = FeatureCache(_tiers(config, device))
    outcomes = []
    with ExitStack() as stack:
        loaders: dict[str, Loader] = {}
        for cell in every:
            if cell.dataset.name not in loaders:
                loader = Loader(cell.dataset, config.threads)
                stack.callback(loader.close)
                loaders[cell.dataset.name] = loader
        for wanted, own_cells in _loads(config, every):
            model = load_segmenter(wanted, device, config.dtype)
            evaluators = {
                name: Evaluator(
                    model,
                    loader,
                    cache,
                    device,
                    encode_batch=_GPU_ENCODE_BATCH if device.type == "cuda" else 1,
                )
                for name, loader in loaders.items()
            }
            for cell in own_cells:
                evaluator = evaluators[cell.dataset.name]
                outcomes.append(_run(config, wanted, evaluator, cell, resume, listener))
                listener.run_finished(outcomes[-1])
            for evaluator in evaluators.values():
                evaluator.close()
            del model, evaluators, evaluator
            gc.collect()
    return outcomes


def _loads(config: BenchConfig, every: list[Cell]) -> Iterator[tuple[ModelConfig, list[Cell]]]:
    """Each model to load with the cells it runs on: once, or once a fold.

    A model trained on base classes has a checkpoint for every fold: its options say where with
    `{fold}`, as in `weights: hsnet/fold{fold}.pt`.
    """
    for wanted in config.models:
        if not any("{fold}" in str(value) for value in wanted.options.values()):
            yield wanted, every
            continue
        for fold in sorted({cell.fold for cell in every}):
            options = {
                key: value.replace("{fold}", str(fold)) if isinstance(value, str) else value
                for key, value in wanted.options.items()
            }
            own = wanted.model_copy(update={"options": options})
            yield own, [cell for cell in every if cell.fold == fold]


def resolve_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        BenchError: if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BenchError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BenchError(
            f"device {name!r}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs "
            f"here; use --device cpu, or install a CUDA build of torch"
        )
    if device.type not in ("cpu", "cuda"):
        raise BenchError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    return device


def _tiers(config: BenchConfig, device: torch.device) -> list[Tier]:
    host = Tier(torch.device("cpu"), config.cache.host)
    return [host] if device.type == "cpu" else [Tier(device, config.cache.device), host]


def load_segmenter(wanted: ModelConfig, device: torch.device, dtype: str) -> Segmenter:
    """The registered or custom model that a configuration names."""
    if wanted.target in MODELS:
        loaded: Segmenter = load_model(
            wanted.target, wanted.options, device=str(device), dtype=dtype
        )
        return loaded
    return load_custom(wanted.target, wanted.options, device=str(device), dtype=dtype)


def _run(
    config: BenchConfig,
    wanted: ModelConfig,
    evaluator: Evaluator,
    cell: Cell,
    resume: Resume,
    listener: Listener,
) -> Outcome:
    key = cell.key(wanted.name)
    folder = key.folder(config.results_root)
    before = previous_setup(folder) if resume == "resume" else None
    batch_size = config.batch_size
    if batch_size == "auto":
        batch_size = (before or {}).get("batch_size", trait(evaluator.model, "batch_size"))
    setup = Setup(
        model=model_record(wanted.name, evaluator.model, cell.dataset.name),
        dataset=dataset_record(cell.dataset, cell.fold, cell.shots),
        protocol=protocol_record(cell.protocol, cell.record.limit),
        episodes=cell.record,
        fold=cell.fold,
        shots=cell.shots,
        device=evaluator.device.type,
        dtype=config.dtype,
        batch_size=batch_size,
    )
    if config.save_predictions and before is not None and not (folder / "predictions").is_dir():
        listener.note(f"{key}: no masks are kept of what is measured; --fresh keeps all of them")
    if before is not None and is_complete(folder):
        check_same(folder, before, setup)
        return Outcome(key, "already complete", read_record(folder / "run.json"))
    while True:
        plan = make_plan(cell.episodes, evaluator.grid_of, setup.batch_size)
        try:
            record = _measure(config, evaluator, cell, plan, setup, resume, key, listener)
            if record is None:
                unfinished = read_unfinished(config.results_root, key)
                return Outcome(key, "unfinished", None, unfinished)
            return Outcome(key, "measured", record)
        except MemoryError:
            if config.batch_size != "auto" or setup.batch_size == 1:
                raise BenchError(
                    f"{key}: out of memory with batches of {setup.batch_size}; use a smaller "
                    f"--batch-size, --dtype bf16, or a smaller --cache-size"
                ) from None
        # Begun anew: one run has one batch size, or its bits would depend on when memory ran out.
        setup = setup.model_copy(update={"batch_size": setup.batch_size // 2})
        resume = "fresh"
        evaluator.cache.clear()
        torch.cuda.empty_cache()
        listener.note(f"{key}: out of memory, again with batches of {setup.batch_size}")


def _measure(
    config: BenchConfig,
    evaluator: Evaluator,
    cell: Cell,
    plan: Plan,
    setup: Setup,
    resume: Resume,
    key: RunKey,
    listener: Listener,
) -> RunRecord | None:
    """Measure what is lacking; None where episodes failed."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    reset_peak_memory(setup.device)
    with Journal(key.folder(config.results_root), setup, resume) as journal:
        listener.run_started(key, plan.episodes, len(journal.rows))
        evaluator.run(
            plan,
            cell.protocol,
            journal,
            seed=cell.record.digest,
            save_predictions=config.save_predictions,
            advanced=listener.advanced,
        )
        if journal.failed:
            return None
        record = make_record(
            setup,
            journal,
            started=started,
            cache=CacheRecord(
                image_encodes=evaluator.encodes.images,
                support_encodes=evaluator.encodes.supports,
                naive_image_encodes=evaluator.encodes.naive_images,
                naive_support_encodes=evaluator.encodes.naive_supports,
                peak_bytes=evaluator.cache.peak_bytes,
            ),
        )
        journal.finish(record, [episode.query for episode in cell.episodes])
    return record
