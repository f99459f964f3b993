"""The place where a worker of any engine works: one device, one model, one cache."""

import gc
import time
import traceback
from collections.abc import Mapping

import torch

from benchmarks.config.loading import load_segmenter
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.messages import (
    Answer,
    Load,
    Loaded,
    Measure,
    Measured,
    NoMemory,
    NotLoaded,
    Task,
)
from benchmarks.errors import BenchError
from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.evaluator import Evaluator
from benchmarks.evaluation.failure import reason
from benchmarks.evaluation.loader import Loader, Stores
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results import environment
from benchmarks.results.describe import model_record, training
from benchmarks.results.records import CacheRecord
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from models.errors import ModelError
from models.segmenter import Segmenter, trait


class Worker:
    """Loads models and measures batches.

    Pixels and features outlive their model, so models with the same backbone, weights and
    geometry share what depends on one image, or the parts of it that they have in common.

    Args:
        config: the matrix.
        device: where models are loaded.
        models: those that are there already, by the name that their results get.
    """

    def __init__(
        self,
        config: BenchConfig,
        device: torch.device,
        models: Mapping[str, Segmenter] | None = None,
    ) -> None:
        self._config = config
        self._device = device
        self._models = models or {}
        if device.index is not None:
            # Results name the device by its type, and so ask of the one that is current.
            torch.cuda.set_device(device)
        self._cache = FeatureCache(_tiers(config, device))
        self._datasets = {
            name: PreparedDataset(config.data_root, name)
            for name in dict.fromkeys(wanted.name for wanted in config.datasets)
        }
        stores = Stores()
        self._loaders = {
            name: Loader(dataset, config.threads, stores)
            for name, dataset in self._datasets.items()
        }
        self._evaluators: Mapping[str, Evaluator] = {}
        self._attempt: int | None = None

    def close(self) -> None:
        """Free the model and stop the threads that decode."""
        self._free()
        for loader in self._loaders.values():
            loader.close()

    def do(self, task: Task) -> Answer:
        """Answer a task.

        Raises:
            BenchError, DatasetError, ModelError: what the user has to mend, unless it is a model
                that cannot be loaded: that is answered.
        """
        if isinstance(task, Measure):
            return self._measure(task)
        try:
            return self._load(task)
        except (BenchError, DatasetError, ModelError) as error:
            # Without the frames, which may hold a half-loaded model.
            return NotLoaded(task.number, error.with_traceback(None))
        except Exception as error:  # a model is anyone's code and may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{reason(error)} ({place.filename}, line {place.lineno})"
            return NotLoaded(task.number, ModelError(f"{task.model.name} cannot be loaded: {said}"))

    def _free(self) -> None:
        for evaluator in self._evaluators.values():
            evaluator.close()
        self._evaluators = {}
        gc.collect()

    def _load(self, task: Load) -> Loaded:
        begin = time.perf_counter()
        self._free()
        model = self._models.get(task.model.name) or load_segmenter(
            task.model, self._device, self._config.dtype
        )
        trained_on = training(model, task.model)
        batch = trait(model, "encode_batch") if self._device.type == "cuda" else 1
        reads_pixels = trait(model, "image_reads_pixels") or trait(model, "support_reads_pixels")
        self._evaluators = {
            name: Evaluator(model, loader, self._cache, self._device, encode_batch=batch)
            for name, loader in self._loaders.items()
        }
        return Loaded(
            number=task.number,
            seconds=time.perf_counter() - begin,
            device=self._device.type,
            hardware=environment.hardware(self._device.type),
            batch_size=trait(model, "batch_size"),
            reads_pixels=reads_pixels,
            records={
                name: model_record(task.model.name, model, name, task.model.target, trained_on)
                for name in self._datasets
            },
            digests={name: dataset.digest for name, dataset in self._datasets.items()},
            grids={name: _grids(model, dataset) for name, dataset in self._datasets.items()},
        )

    def _measure(self, task: Measure) -> Measured | NoMemory:
        if task.attempt != self._attempt:
            self._attempt = task.attempt
            environment.reset_peak_memory(self._device.type)
        evaluator, protocol = self._evaluators[task.dataset], get_protocol(task.protocol)
        if task.ahead is not None:
            evaluator.expect(task.ahead, protocol.prompt)
        for _ in range(2):  # again without what the cache holds, before less is asked of the model
            try:
                tried = evaluator.measure(
                    task.batch,
                    protocol,
                    wanted=task.wanted,
                    seed=task.seed,
                    keep=task.keep,
                )
                break
            except MemoryError:
                self._cache.clear()
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
        else:
            return NoMemory(task.attempt)
        encodes = evaluator.encodes
        return Measured(
            attempt=task.attempt,
            batch=task.batch.index,
            rows=tried.rows,
            failed=tried.failed,
            seconds=tried.seconds,
            masks=tried.masks,
            cache=CacheRecord(
                image_encodes=encodes.images,
                support_encodes=encodes.supports,
                naive_image_encodes=encodes.naive_images,
                naive_support_encodes=encodes.naive_supports,
                peak_bytes=self._cache.peak_bytes,
            ),
            stages=tried.stages,
            memory=environment.peak_memory(self._device.type),
        )


def _tiers(config: BenchConfig, device: torch.device) -> list[Tier]:
    host = Tier(torch.device("cpu"), config.cache.host)
    return [host] if device.type == "cpu" else [Tier(device, config.cache.device), host]


def _grids(model: Segmenter, dataset: PreparedDataset) -> dict[tuple[int, int], tuple[int, int]]:
    sizes = {dataset.size(image_id) for image_id in dataset.image_ids}
    return {size: model.geometry.grid(size) for size in sorted(sizes)}
