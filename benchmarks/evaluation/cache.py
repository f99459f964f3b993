"""A byte-bounded cache of features that knows its future.

The plan says when each feature is used next, so what is dropped is what is needed last (Bélády's
rule). Tiers are devices in order of preference: what the first has no room for moves on to the
next, what the last has no room for is dropped and computed again.
"""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch

from models.segmenter import Features

Key = Hashable
_NEVER = 2**62
_SLACK = 1000  # entries of older ranks that the heap may hold in any case


@dataclass(frozen=True)
class Tier:
    """A device with its byte budget."""

    device: torch.device
    budget: int


class _Shelf:
    """The features of one tier, and a heap that finds the one needed last."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.items: dict[Key, Features] = {}
        self.bytes = 0
        self._heap: list[tuple[int, int, Key]] = []
        self._stamps: dict[Key, tuple[int, int]] = {}
        self._clock = 0

    def rank(self, key: Key, next_use: int) -> None:
        """Say when `key` is used next; among equals the one ranked first goes first."""
        self._clock += 1
        self._stamps[key] = (-next_use, self._clock)
        heapq.heappush(self._heap, (-next_use, self._clock, key))
        # Entries of older ranks would pile up for as long as nothing has to make room.
        if len(self._heap) > _SLACK + 2 * len(self._stamps):
            self._heap = [(*stamp, held) for held, stamp in self._stamps.items()]
            heapq.heapify(self._heap)

    def add(self, key: Key, features: Features, next_use: int) -> None:
        self.items[key] = features
        self.bytes += features.nbytes
        self.rank(key, next_use)

    def remove(self, key: Key) -> Features:
        features = self.items.pop(key)
        self.bytes -= features.nbytes
        del self._stamps[key]
        return features

    def last_needed(self) -> Key:
        """The key whose next use is furthest away; entries of older ranks are skipped."""
        while True:
            use, clock, key = self._heap[0]
            if self._stamps.get(key) == (use, clock):
                return key
            heapq.heappop(self._heap)


class FeatureCache:
    """Features by key within the byte budget of each tier.

    Keys that no schedule names are kept as long as there is room: another run may want them.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._shelves = [_Shelf(tier) for tier in tiers]
        self._uses: dict[Key, deque[int]] = {}
        self._step = 0
        self.peak_bytes = 0

    @property
    def bytes(self) -> int:
        """Bytes held in all tiers."""
        return sum(shelf.bytes for shelf in self._shelves)

    def schedule(self, steps: Iterable[Iterable[Key]]) -> None:
        """Announce which keys each coming step uses; forgets what was announced before.

        `peak_bytes` begins anew.
        """
        self._uses = {}
        self._step = 0
        self.peak_bytes = self.bytes
        for step, keys in enumerate(steps):
            for key in keys:
                self._uses.setdefault(key, deque()).append(step)
        for shelf in self._shelves:
            for key in shelf.items:
                shelf.rank(key, self._next_use(key))

    def advance(self, step: int, keys: Iterable[Key]) -> None:
        """`step` is over: its `keys` now rank by their next use, fetched or not."""
        for key in keys:
            self._used(key)
        self._step = step + 1

    def __contains__(self, key: Key) -> bool:
        return any(key in shelf.items for shelf in self._shelves)

    def get(self, key: Key) -> Features | None:
        """The features, on the first tier's device; None where they are not held."""
        self._used(key)
        for level, shelf in enumerate(self._shelves):
            if key in shelf.items:
                if level == 0:
                    return shelf.items[key]
                features = shelf.remove(key).to(self._shelves[0].tier.device)
                self._insert(key, features, 0)
                return features
        return None

    def put(self, key: Key, features: Features) -> None:
        """Keep features that are on the first tier's device, if they earn their room."""
        self._used(key)
        if key not in self:
            self._insert(key, features, 0)

    def forget(self, unwanted: Callable[[Key], bool]) -> None:
        """Drop the features whose key is unwanted."""
        for shelf in self._shelves:
            for key in [key for key in shelf.items if unwanted(key)]:
                shelf.remove(key)

    def clear(self) -> None:
        """Drop everything."""
        self._shelves = [_Shelf(shelf.tier) for shelf in self._shelves]

    def _used(self, key: Key) -> None:
        """This step's use is over; until then a key cannot lose its place to later ones."""
        uses = self._uses.get(key)
        while uses and uses[0] <= self._step:
            uses.popleft()
        for shelf in self._shelves:
            if key in shelf.items:
                shelf.rank(key, self._next_use(key))

    def _next_use(self, key: Key) -> int:
        uses = self._uses.get(key)
        return uses[0] if uses else _NEVER

    def _insert(self, key: Key, features: Features, level: int) -> None:
        if level == len(self._shelves):
            return
        shelf = self._shelves[level]
        if features.nbytes > shelf.tier.budget:
            self._move(key, features, level + 1)
            return
        next_use = self._next_use(key)
        while shelf.bytes + features.nbytes > shelf.tier.budget:
            victim = shelf.last_needed()
            if self._next_use(victim) < next_use:
                self._move(key, features, level + 1)
                return
            self._move(victim, shelf.remove(victim), level + 1)
        shelf.add(key, features, next_use)
        self.peak_bytes = max(self.peak_bytes, self.bytes)

    def _move(self, key: Key, features: Features, level: int) -> None:
        if level < len(self._shelves):
            self._insert(key, features.to(self._shelves[level].tier.device), level)
