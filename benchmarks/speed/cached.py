"""A plan through a segmenter with the feature cache, on generated images."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.calls import chunks
from benchmarks.evaluation.extras import extras
from benchmarks.evaluation.plan import Batch, Plan
from benchmarks.speed.generated import GeneratedImages
from datasets_prep.episodes.episode import Episode
from models.segmenter import Features, Segmenter

Item = TypeVar("Item", bound=Hashable)


class CachedPath:
    """Encodes each distinct image and (image, mask) once, as long as the cache has room.

    Args:
        model: the segmenter.
        pictures: where pixels and masks come from.
        plan: all batches, in the order in which `segment` gets them.
        seed: digest of the episode list.
        device: where the model is.
        encode_batch: images in an encode call, at most.
        budget: bytes of the cache.
    """

    def __init__(
        self,
        model: Segmenter,
        pictures: GeneratedImages,
        plan: Plan,
        seed: str,
        device: torch.device,
        encode_batch: int,
        budget: int,
    ) -> None:
        self.model = model
        self.pictures = pictures
        self.seed = seed
        self.encode_batch = encode_batch
        self.cache = FeatureCache([Tier(device, budget)])
        self.cache.schedule(_keys(batch) for batch in plan.batches)
        self.feature_bytes = {"image": 0, "support": 0}

    def segment(self, batch: Batch) -> Tensor:
        """The masks of a batch's queries: B×H×W bool."""
        supports = self._supports(batch.pairs())
        images = self._images(batch.images())
        scores = self.model.segment(
            [images[e.query] for e in batch.episodes],
            [[supports[s, e.class_index] for s in e.supports] for e in batch.episodes],
            **self.extras(batch.episodes),
        )
        self.cache.advance(batch.index, _keys(batch))
        return self.model.binarize(scores)

    def extras(self, episodes: Sequence[Episode]) -> dict[str, Any]:
        """What the model wants to be told of episodes with queries of one grid; either path's."""
        return extras(self.model, episodes, self.seed, self.pictures.masks, "class {}".format)

    def _images(self, names: Iterable[str]) -> dict[str, Features]:
        def encode(part: Sequence[str]) -> list[Features]:
            return self.model.encode_image(self.pictures.images(part))

        return self._encoded("image", names, self.pictures.grid, encode)

    def _supports(self, pairs: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Features]:
        def encode(part: Sequence[tuple[str, int]]) -> list[Features]:
            names = [name for name, _ in part]
            features = (
                self._images(dict.fromkeys(names)) if self.model.support_uses_features else {}
            )
            return self.model.encode_support(
                self.pictures.images(names),
                self.pictures.masks(part),
                [features[name] for name in names] if features else [],
            )

        return self._encoded("support", pairs, lambda pair: self.pictures.grid(pair[0]), encode)

    def _encoded(
        self,
        kind: str,
        items: Iterable[Item],
        grid: Callable[[Item], object],
        encode: Callable[[Sequence[Item]], list[Features]],
    ) -> dict[Item, Features]:
        """Features of all items, from the cache or encoded together where grids are equal."""
        found: dict[Item, Features] = {}
        missing: list[Item] = []
        for item in items:
            features = self.cache.get((kind, item))
            if features is None:
                missing.append(item)
            else:
                found[item] = features
        for part in chunks(missing, grid, self.encode_batch):
            for item, features in zip(part, encode(part), strict=True):
                self.cache.put((kind, item), features)
                self.feature_bytes[kind] = features.nbytes
                found[item] = features
        return found


def _keys(batch: Batch) -> Iterator[Hashable]:
    """Every feature that a batch may ask for."""
    for name in batch.images():
        yield "image", name
    for pair in batch.pairs():
        yield "support", pair
        yield "image", pair[0]
