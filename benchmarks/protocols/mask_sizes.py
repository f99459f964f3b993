"""How large the masks of an episode list are on the grid on which its protocol scores."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocols.catalog import Protocol
from benchmarks.protocols.lists import EpisodeList
from datasets_prep.prepared.dataset import PreparedDataset

TINY = 0.001  # of the grid: 160 pixels of 400×400
Share = Callable[[str, int], float]


@dataclass(frozen=True)
class MaskStats:
    """What a list asks for.

    Attributes:
        queries: of every episode, the share of the grid that the query's mask covers, 0..1.
        tiny_queries: episodes whose query mask covers less than `TINY`, but not nothing.
        empty_queries: episodes whose query mask has no pixel on the grid.
        tiny_supports: episodes with such a mask among the supports, put on the same grid.
        empty_supports: likewise.
    """

    queries: tuple[float, ...]
    tiny_queries: int
    empty_queries: int
    tiny_supports: int
    empty_supports: int


def shares(dataset: PreparedDataset, protocol: Protocol) -> Share:
    """A function of image and class: which share of the protocol's grid the mask covers, 0..1.

    It reads every label map once, and every mask once where classes have masks of their own.
    """
    known: dict[tuple[str, int], float] = {}
    maps: dict[str, Mapping[int, float]] = {}

    def of_map(image: str, class_index: int) -> float:
        if image not in maps:
            values = _on_grid(dataset.labels(image), protocol)
            counts = np.bincount(values.ravel())
            maps[image] = {
                int(value) - 1: float(counts[value] / values.size)
                for value in np.flatnonzero(counts)
            }
        return maps[image].get(class_index, 0.0)

    def of_mask(image: str, class_index: int) -> float:
        key = (image, class_index)
        if key not in known:
            mask = _on_grid(dataset.mask(image, class_index), protocol)
            known[key] = float(np.count_nonzero(mask == 1) / mask.size)
        return known[key]

    return of_map if dataset.has_label_maps else of_mask


def _on_grid(values: NDArray[np.uint8], protocol: Protocol) -> NDArray[np.uint8]:
    size = (values.shape[0], values.shape[1])
    target = protocol.target(size)
    if target == size:
        return values
    # torch takes its time to be imported, and native resolution does not need it.
    import torch

    from models.geometry import nearest

    return nearest(torch.from_numpy(values.copy()), target).numpy()


def mask_stats(listed: EpisodeList, share: Share) -> MaskStats:
    """Look at every mask of a list.

    Args:
        listed: the list.
        share: as from `shares`.
    """
    queries, supports = [], []
    for episode in listed.episodes:
        queries.append(share(episode.query, episode.class_index))
        supports.append([share(image, episode.class_index) for image in episode.supports])
    return MaskStats(
        queries=tuple(queries),
        tiny_queries=sum(map(_tiny, queries)),
        empty_queries=queries.count(0.0),
        tiny_supports=sum(any(map(_tiny, own)) for own in supports),
        empty_supports=sum(0.0 in own for own in supports),
    )


def _tiny(share: float) -> bool:
    return 0 < share < TINY


def masks_of(lists: Iterable[EpisodeList]) -> list[tuple[str, int]]:
    """Every (image, class) that the lists name, once."""
    return list(
        dict.fromkeys(
            (image, episode.class_index)
            for listed in lists
            for episode in listed.episodes
            for image in (episode.query, *episode.supports)
        )
    )
