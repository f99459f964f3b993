"""Runs batches through one model: features from the cache, scores, counts. Writes nothing."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchmarks.evaluation.cache import FeatureCache, Key
from benchmarks.evaluation.calls import chunks, filled
from benchmarks.evaluation.counting import Counted, Segmented, Wanted, counted
from benchmarks.evaluation.extras import extras
from benchmarks.evaluation.failure import out_of_memory, reason
from benchmarks.evaluation.loader import Loader
from benchmarks.evaluation.plan import Batch, units
from benchmarks.evaluation.prediction import check_scores, checked_presence
from benchmarks.evaluation.timing import Stages
from benchmarks.evaluation.tried import EncodeCounts, Tried
from benchmarks.protocols.catalog import Protocol
from benchmarks.results.journal import Row
from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from models.geometry import Size
from models.segmenter import (
    ClassesSegmenter,
    Features,
    ImagePart,
    PresenceSegmenter,
    Segmenter,
    joined,
    trait,
)

# The scope of an image part's keys, to which an image's id is added, and the part.
_Part = tuple[tuple[object, ...], ImagePart]
_AHEAD = 2  # batches whose images are decoded while one runs


class Evaluator:
    """One model on one dataset.

    Args:
        model: the segmenter.
        loader: loads from the dataset.
        cache: keeps features; may be shared by evaluators one after another.
        device: where the model is.
        encode_batch: images in one encode call, always exactly so many (the last call is filled
            up), because a call's size may change float rounding.
    """

    def __init__(
        self,
        model: Segmenter,
        loader: Loader,
        cache: FeatureCache,
        device: torch.device,
        encode_batch: int = 1,
    ) -> None:
        self.model = model
        self.loader = loader
        self.cache = cache
        self.device = device
        self.encode_batch = encode_batch
        self.encodes = EncodeCounts()
        self._stage = Stages(device)
        data = loader.dataset.digest
        # What nobody shares is keyed by a thing of this evaluator, which the keys keep alive: an id
        # could come back with the next evaluator and bring another model's features.
        self._own = object()
        whole = ImagePart(trait(model, "image_key") or "", model.encode_image)
        parts = trait(model, "image_parts") or [whole]
        self._parts = [
            (("image", data, part.key or self._own, model.geometry, encode_batch), part)
            for part in parts
        ]
        uses = model.support_uses_features
        self._support_parts = [own for own in self._parts if uses and own[1].supports]
        self._support_scope = ("support", data, self._own)
        self._stretch: Sequence[Batch] = ()
        self._steps: Mapping[int, int] = {}
        self._unreadable: Exception | None = None
        self._prompt = "mask"

    def close(self) -> None:
        """Drop the features that nobody else can use; the cache would hold them for nothing."""
        own = self._own
        self.cache.forget(lambda key: isinstance(key, tuple) and own in key)

    def grid_of(self, image_id: str) -> Size:
        """The model's grid size for an image."""
        return self.model.geometry.grid(self.loader.dataset.size(image_id))

    def expect(self, stretch: Sequence[Batch], prompt: str = "mask") -> None:
        """Batches that come next, in this order; what they use is kept and decoded ahead."""
        self._prompt = prompt
        self._stretch = stretch
        self._steps = {batch.index: step for step, batch in enumerate(stretch)}
        self.loader.look_elsewhere()
        self.cache.schedule(self._keys(batch) for batch in stretch)

    def measure(
        self,
        batch: Batch,
        protocol: Protocol,
        *,
        wanted: Collection[int],
        seed: str,
        keep: Wanted = Wanted(),  # noqa: B008
    ) -> Tried:
        """Measure one batch.

        An episode on which the model raises, or gives scores that cannot be used, has failed and
        the others go on: where a batch fails, each of its episodes is tried alone, together with
        those that ask for other classes of the same query.

        Args:
            batch: the batch, one of those that are expected or any other.
            protocol: says on which grid masks are scored.
            wanted: numbers of its episodes that are wanted.
            seed: names the episode list; with an episode's number it seeds models that draw.
            keep: what is wanted of the predicted masks beside their areas.

        Raises:
            DatasetError, OSError: for an image that cannot be read.
            MemoryError: where memory does not do for the batch.
        """
        begin = time.perf_counter()
        self._prompt = protocol.prompt
        self.encodes = EncodeCounts()
        self._stage = Stages(self.device)
        step = self._steps.get(batch.index)
        if step is not None:
            self._prefetch(self._stretch[step : step + 1 + _AHEAD])
        own = [episode for episode in batch.episodes if episode.index in wanted]
        failed: dict[int, str] = {}
        whole = len(own) == len(batch.episodes)
        found = self._attempt(batch, protocol, seed, keep) if whole else None
        if not isinstance(found, list):
            found = []
            for unit in units(batch.episodes, protocol.ways):
                asked = {episode.index for episode in unit if episode.index in wanted}
                if not asked:
                    continue
                # As many as in the batch, because a call's size may change float rounding.
                copies = Batch(batch.index, unit * (len(batch.episodes) // len(unit)))
                alone = self._attempt(copies, protocol, seed, keep)
                if isinstance(alone, list):
                    found += [one for one in alone[: len(unit)] if one.episode.index in asked]
                else:
                    failed |= dict.fromkeys(asked, alone)
        if step is not None:
            self.cache.advance(step, self._keys(batch))
        self._count_naive(own)
        seconds = time.perf_counter() - begin
        each = 1000 * seconds / max(len(own), 1)
        return Tried(
            tuple(
                Row(c.episode.index, c.episode.class_index, c.areas, each, c.further, c.presence)
                for c in found
            ),
            failed,
            {c.episode.index: c.mask for c in found if c.mask is not None},
            seconds,
            self.encodes,
            self._stage.record(),
        )

    def _attempt(
        self, batch: Batch, protocol: Protocol, seed: str, keep: Wanted
    ) -> list[Counted] | str:
        """The counts of all episodes, or what was raised."""
        try:
            with torch.inference_mode():
                segmented = self.segment(batch, seed, protocol)
                with self._stage("score"):
                    found = counted(
                        self.model, self.loader, batch, segmented, protocol, keep, self._loading
                    )
                    return list(found)
        except Exception as error:  # a model is anyone's code and may raise anything
            if error is self._unreadable:
                raise
            if out_of_memory(error):
                raise MemoryError from error
            return reason(error)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Within, an error is the dataset's, not the model's, and no matter of one episode."""
        try:
            yield
        except (DatasetError, OSError) as error:
            self._unreadable = error
            raise

    def _image_keys(
        self, queries: Iterable[str], supports: Iterable[str]
    ) -> Iterator[tuple[Any, ...]]:
        """Every part of image features that is asked for of some queries and supports."""
        for parts, images in ((self._parts, queries), (self._support_parts, supports)):
            yield from ((*scope, image_id) for image_id in images for scope, _ in parts)

    def _support_key(self, pair: tuple[str, int]) -> Key:
        return (*self._support_scope, *pair, self._prompt)

    def _keys(self, batch: Batch) -> Iterator[Key]:
        """Every feature that a batch may ask for."""
        yield from self._image_keys(batch.images(), (pair[0] for pair in batch.pairs()))
        yield from map(self._support_key, batch.pairs())

    def _prefetch(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            supports = [p[0] for p in batch.pairs() if self._support_key(p) not in self.cache]
            wanted = list(supports) if trait(self.model, "support_reads_pixels") else []
            if trait(self.model, "image_reads_pixels"):
                keys = self._image_keys(batch.images(), supports)
                wanted += (key[-1] for key in keys if key not in self.cache)
            self.loader.prefetch_images(wanted, self.model.geometry)

    def _count_naive(self, episodes: Sequence[Episode]) -> None:
        supports = sum(len(e.supports) for e in episodes)
        self.encodes.naive_supports += supports
        self.encodes.naive_images += len(episodes) * len(self._parts)
        self.encodes.naive_images += supports * len(self._support_parts)

    def segment(self, batch: Batch, seed: str, protocol: Protocol) -> Segmented:
        """What the model says of one batch, from the cache where it can."""
        self._prompt = protocol.prompt
        supports = self._supports(list(batch.pairs()))
        images = self._images(list(batch.images()), self._parts)
        told = extras(
            self.model,
            batch.episodes,
            seed,
            truths=lambda own: self._masks(own, "mask"),
            name=lambda index: self.loader.dataset.classes[index],
        )
        queries = [images[e.query] for e in batch.episodes]
        shots = [[supports[s, e.class_index] for s in e.supports] for e in batch.episodes]
        together = 0
        with self._stage("segment"):
            if protocol.ways > 1 and isinstance(self.model, ClassesSegmenter):
                together = protocol.ways
                every = [shots[n : n + together] for n in range(0, len(shots), together)]
                scores = self.model.segment_classes(queries[::together], every)
            else:
                scores = self.model.segment(queries, shots, **told)
        check_scores(scores, batch.episodes, together)
        if not (protocol.asks_presence and isinstance(self.model, PresenceSegmenter)):
            return Segmented(scores)
        with self._stage("segment"):
            presence = self.model.presence(queries, shots, scores)
        return Segmented(scores, checked_presence(presence, batch.episodes))

    def _images(self, image_ids: Collection[str], parts: Sequence[_Part]) -> Mapping[str, Features]:
        """Image features, of some parts; each from the cache or computed now."""
        whole = {image_id: Features({}) for image_id in image_ids}
        for part in parts:
            found = self._image_part(whole, *part)
            whole = {i: joined([before, found[i]]) for i, before in whole.items()}
        return whole

    def _image_part(
        self, before: Mapping[str, Features], scope: tuple[object, ...], part: ImagePart
    ) -> Mapping[str, Features]:
        """One part of some images' features, from the cache or computed now.

        Args:
            before: by image, what the parts before this one gave.
            scope: of the part's keys.
            part: what it computes.
        """
        keys = {image_id: (*scope, image_id) for image_id in before}
        found, missing = self._held(keys)
        reads = trait(self.model, "image_reads_pixels")
        for chunk in chunks(missing, self.grid_of, 1 if part.after else self.encode_batch):
            given = [before[i] for i in chunk] if part.after else self._pixels(chunk, reads)
            with self._stage("encode_images"):
                features = part.encode(given)[: len(chunk)]
            self.encodes.images += len(chunk)
            self._keep(chunk, features, keys, found)
        return found

    def _supports(self, pairs: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], Features]:
        """Support features, from the cache or computed now."""
        keys = {pair: self._support_key(pair) for pair in pairs}
        found, missing = self._held(keys)
        reads = trait(self.model, "support_reads_pixels")
        uses = self.model.support_uses_features
        images = self._images(dict.fromkeys(p[0] for p in missing), self._support_parts)
        for part in chunks(missing, lambda pair: self.grid_of(pair[0]), self.encode_batch):
            ids = [pair[0] for pair in part]
            pixels = self._pixels(ids, reads)
            masks = filled(self._masks(part, self._prompt), self.encode_batch)
            seen = filled([images[i] for i in ids], self.encode_batch) if uses else []
            with self._stage("encode_supports"):
                features = self.model.encode_support(pixels, masks, seen)[: len(part)]
            self.encodes.supports += len(part)
            self._keep(part, features, keys, found)
        return found

    def _held(self, keys: Mapping[Any, Key]) -> tuple[dict[Any, Features], list[Any]]:
        found: dict[Any, Features] = {}
        missing = []
        for item, key in keys.items():
            features = self.cache.get(key)
            if features is None:
                missing.append(item)
            else:
                found[item] = features
        return found, missing

    def _keep(
        self,
        items: Sequence[Any],
        features: Sequence[Features],
        keys: Mapping[Any, Key],
        found: dict[Any, Features],
    ) -> None:
        for item, feature in zip(items, features, strict=True):
            self.cache.put(keys[item], feature)
            found[item] = feature

    def _pixels(self, image_ids: Sequence[str], reads: bool) -> Tensor:
        if not reads:
            return torch.zeros((), device=self.device).expand(
                self.encode_batch, 3, *self.grid_of(image_ids[0])
            )
        with self._stage("load"), self._loading():
            pixels = [self.loader.image(image_id, self.model.geometry) for image_id in image_ids]
            stacked: Tensor = filled(torch.stack(pixels), self.encode_batch)
            return stacked.to(self.device).float().div_(255)

    def _masks(self, pairs: Sequence[tuple[str, int]], prompt: str) -> Tensor:
        with self._stage("load"), self._loading():
            masks = [self.loader.support_mask(*pair, self.model.geometry, prompt) for pair in pairs]
            return torch.stack(masks).to(self.device).float()
