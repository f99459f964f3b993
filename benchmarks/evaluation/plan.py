"""The order and the batches in which episodes run.

The plan is a function of the episode list, the grids and the batch size alone. It fixes every
batch that a model sees, so cache size, threads, interruption and resume change no bit of a result.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from datasets_prep.episodes.episode import Episode
from models.geometry import Size


@dataclass(frozen=True)
class Batch:
    """Episodes that go through `segment` together; their queries share one grid size."""

    index: int
    episodes: tuple[Episode, ...]

    def images(self) -> Iterator[str]:
        """Distinct query images, in order."""
        return iter(dict.fromkeys(e.query for e in self.episodes))

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Distinct (support image, class), in order."""
        return iter(dict.fromkeys((s, e.class_index) for e in self.episodes for s in e.supports))


@dataclass(frozen=True)
class Plan:
    """All batches of a run, and what they need."""

    batches: tuple[Batch, ...]

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return sum(len(batch.episodes) for batch in self.batches)

    @property
    def images(self) -> int:
        """Distinct images: what `encode_image` runs on if nothing is dropped from the cache."""
        every = (e for batch in self.batches for e in batch.episodes)
        return len({image for e in every for image in (e.query, *e.supports)})

    @property
    def pairs(self) -> int:
        """Distinct (image, mask): what `encode_support` runs on if nothing is dropped."""
        return len({pair for batch in self.batches for pair in batch.pairs()})

    @property
    def naive_image_encodes(self) -> int:
        """Images that are encoded without a cache: K+1 an episode."""
        return self.naive_support_encodes + self.episodes

    @property
    def naive_support_encodes(self) -> int:
        """(image, mask) pairs that are encoded without a cache: K an episode."""
        return sum(len(e.supports) for batch in self.batches for e in batch.episodes)


def make_plan(
    episodes: Sequence[Episode], grid_of: Callable[[str], Size], batch_size: int, ways: int = 1
) -> Plan:
    """Order episodes by class, then query, and cut them into batches.

    Within a class the supports repeat, and features of one class at a time are all that a small
    cache has to hold. A batch ends early where the query's grid size changes.

    Args:
        episodes: the list, in published order.
        grid_of: the model's grid size for an image.
        batch_size: episodes a batch at most, or `ways` where that is more.
        ways: so many episodes that follow each other share a query and stay together.
    """
    order = sorted(
        units(episodes, ways), key=lambda own: (own[0].class_index, own[0].query, own[0].index)
    )
    batches: list[Batch] = []
    current: list[Episode] = []
    for own in order:
        full = len(current) + ways > batch_size
        if current and (full or grid_of(current[0].query) != grid_of(own[0].query)):
            batches.append(Batch(len(batches), tuple(current)))
            current = []
        current.extend(own)
    if current:
        batches.append(Batch(len(batches), tuple(current)))
    return Plan(tuple(batches))


def units(episodes: Sequence[Episode], ways: int) -> list[tuple[Episode, ...]]:
    """Episodes by `ways` that follow each other: those that are measured together."""
    starts = range(0, len(episodes), ways)
    return [tuple(episodes[start : start + ways]) for start in starts]


def cut_near(batches: Sequence[Batch], wish: int, reach: int) -> int:
    """Where to cut batches in two: before number `wish`, or near it where the class changes.

    Episodes of one class share supports; cut between classes, each part encodes its own alone.

    Args:
        batches: in the plan's order.
        wish: 0..len(batches).
        reach: by how much the cut may move.
    """
    for offset in range(reach + 1):
        for cut in (wish - offset, wish + offset):
            if 0 < cut < len(batches):
                before, after = batches[cut - 1].episodes[-1], batches[cut].episodes[0]
                if before.class_index != after.class_index:
                    return cut
    return wish
