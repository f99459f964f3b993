"""An episode list through a segmenter, cached and naive side by side in one process."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.errors import BenchError
from benchmarks.evaluation.plan import Batch, Plan, make_plan
from benchmarks.speed.cached import CachedPath
from benchmarks.speed.clock import Clock
from benchmarks.speed.generated import SIZES, GeneratedImages
from benchmarks.speed.memory import PeakMemory
from benchmarks.speed.naive import NaivePath
from datasets_prep.episodes.episode import Episode, digest
from models.geometry import Size
from models.segmenter import Segmenter, trait

CACHE_BYTES = 4 * 2**30
# Other batches and another memory layout may round differently.
_TOLERATED = 1e-5


@dataclass(frozen=True)
class SpeedReport:
    """What was measured; times in seconds, memory in bytes.

    Attributes:
        episodes: length of the list.
        shots: supports of its first episode.
        sample: episodes that ran. Where it is less than `episodes`, the list's times are composed
            of the sample's medians and the list's exact counts.
        batch_size: episodes in a call of `segment`, at most.
        encode_batch: images in an encode call, at most.
        ratio: `naive_seconds` over `cached_seconds`.
        naive_seconds: the list with everything encoded afresh, one episode at a time.
        cached_seconds: the list with each distinct image and (image, mask) encoded once.
        naive_episode: median seconds of an episode on the naive path.
        stages: median seconds of one item in each stage of the cached path. `encode_support`
            contains `support_pass`; `segment` contains `query_pass` and `decode`.
        encodes: images and supports that each path encodes for the list, and what the cached
            path encoded for the sample.
        pixels: pixels of the sample's masks.
        different_pixels: those in which the two paths' masks differ.
        parameters: of the model.
        peak_memory_bytes: peak while the cached path ran: the process's, or torch's on a GPU.
        cache_budget_bytes: what the feature cache may hold.
        cache_peak_bytes: what it held at most.
        feature_bytes: of one image and of one (image, mask).
    """

    episodes: int
    shots: int
    sample: int
    batch_size: int
    encode_batch: int
    ratio: float
    naive_seconds: float
    cached_seconds: float
    naive_episode: float
    stages: Mapping[str, float]
    encodes: Mapping[str, Mapping[str, int]]
    pixels: int
    different_pixels: int
    parameters: int
    peak_memory_bytes: int
    cache_budget_bytes: int
    cache_peak_bytes: int
    feature_bytes: Mapping[str, int]

    @property
    def same_masks(self) -> bool:
        """Whether the masks differ in at most one pixel of 100,000, or one at all."""
        return self.different_pixels <= max(1, self.pixels * _TOLERATED)


def measure(
    model: Segmenter,
    episodes: Sequence[Episode],
    naive: NaivePath,
    *,
    device: torch.device | str = "cpu",
    sample: int | None = None,
    sizes: Sequence[Size] = SIZES,
    batch_size: int | None = None,
    encode_batch: int = 4,
    cache_bytes: int = CACHE_BYTES,
    advanced: Callable[[int], None] = lambda episodes: None,
) -> SpeedReport:
    """Run an episode list on generated images, each batch cached and then naive.

    The two paths take turns, so that a busy machine slows both alike. Generating pixels is not
    timed.

    Args:
        model: the segmenter.
        episodes: the list; names seed the images.
        naive: from `naive_path`.
        device: where the model is.
        sample: run so many episodes only, for models too slow for the whole list.
        sizes: original sizes of the generated images.
        batch_size: episodes in a call of `segment`; the model's own choice if None.
        encode_batch: images in an encode call.
        cache_bytes: budget of the feature cache.
        advanced: called with the number of episodes after each batch.

    Raises:
        BenchError: if the list is empty.
    """
    if not episodes:
        raise BenchError("there are no episodes to measure on")
    where = torch.device(device)
    pictures = GeneratedImages(model.geometry, where, sizes)
    size = batch_size or trait(model, "batch_size")
    plan = make_plan(episodes[:sample], pictures.grid, size)
    whole = make_plan(episodes, pictures.grid, size)
    seed = digest(episodes)
    cached = CachedPath(model, pictures, plan, seed, where, encode_batch, cache_bytes)
    clock, memory, seen = Clock(where), PeakMemory(where), _Seen()
    with torch.inference_mode():
        if plan.episodes == whole.episodes:
            _warm_up(model, naive, pictures, plan, seed, where)
        for batch in plan.batches:
            _take_turns(batch, cached, naive, clock, memory, seen)
            advanced(len(batch.episodes))
    stages, episode = clock.medians(), statistics.median(seen.naive)
    if plan.episodes == whole.episodes:
        naive_seconds, cached_seconds = sum(seen.naive), sum(seen.cached)
    else:
        naive_seconds = whole.episodes * episode
        cached_seconds = (
            whole.images * stages["encode_image"]
            + whole.pairs * stages["encode_support"]
            + whole.episodes * stages["segment"]
        )
    return SpeedReport(
        episodes=whole.episodes,
        shots=len(episodes[0].supports),
        sample=plan.episodes,
        batch_size=size,
        encode_batch=encode_batch,
        ratio=naive_seconds / cached_seconds,
        naive_seconds=naive_seconds,
        cached_seconds=cached_seconds,
        naive_episode=episode,
        stages=stages,
        encodes={
            "naive": {"image": whole.naive_image_encodes, "support": whole.naive_support_encodes},
            "cached": {"image": whole.images, "support": whole.pairs},
            "sample": {
                "image": clock.items("encode_image"),
                "support": clock.items("encode_support"),
            },
        },
        pixels=seen.pixels,
        different_pixels=seen.different,
        parameters=trait(model, "parameters"),
        peak_memory_bytes=memory.bytes,
        cache_budget_bytes=cache_bytes,
        cache_peak_bytes=cached.cache.peak_bytes,
        feature_bytes=dict(cached.feature_bytes),
    )


@dataclass
class _Seen:
    """Seconds of each batch (cached) and episode (naive), and the masks' pixels."""

    cached: list[float] = field(default_factory=list)
    naive: list[float] = field(default_factory=list)
    pixels: int = 0
    different: int = 0


def _take_turns(
    batch: Batch,
    cached: CachedPath,
    naive: NaivePath,
    clock: Clock,
    memory: PeakMemory,
    seen: _Seen,
) -> None:
    """One batch cached, then its episodes naive."""
    model, pictures = cached.model, cached.pictures
    pictures.prepare(batch)
    memory.begin()
    begin = clock.now()
    with clock.watching(model):
        masks = cached.segment(batch)
    seen.cached.append(clock.now() - begin)
    memory.end()
    for mask, episode in zip(masks, batch.episodes, strict=True):
        begin = clock.now()
        told = cached.extras([episode])
        expected = model.binarize(afresh(naive, pictures, episode, told))[0]
        seen.naive.append(clock.now() - begin)
        seen.pixels += mask.numel()
        seen.different += int((mask != expected).sum())


def _warm_up(
    model: Segmenter,
    naive: NaivePath,
    pictures: GeneratedImages,
    plan: Plan,
    seed: str,
    device: torch.device,
) -> None:
    """Run the first batch both ways, so that what happens once only is not timed."""
    first = plan.batches[0]
    cached = CachedPath(model, pictures, Plan((first,)), seed, device, 1, CACHE_BYTES)
    cached.segment(first)
    afresh(naive, pictures, first.episodes[0], cached.extras(first.episodes[:1]))


def afresh(
    naive: NaivePath, pictures: GeneratedImages, episode: Episode, extras: Mapping[str, Any]
) -> Tensor:
    """Scores of one episode on the naive path, told what its model wants: 1×H×W."""
    supports = [
        (pictures.images([name]), pictures.masks([(name, episode.class_index)]))
        for name in episode.supports
    ]
    return naive(supports, pictures.images([episode.query]), **extras)
