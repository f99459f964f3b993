"""Our recommended sampling, `fixed-v1`.

Every novel class gets the same number of episodes, at least 1000 a fold. Within a class the
images serve as queries in a shuffled order, each once before any comes again. Supports are
distinct, and known copies of one image are not paired. Lists are nested: the 1-shot list has the
queries of the 5-shot list and the first of its supports, so shots can be compared episode by
episode.
"""

import hashlib
from collections.abc import Iterable

from numpy.random import RandomState

from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError

EPISODES = 1000
MINI = 200


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """Draw the list: class by class in turn, so that any prefix is balanced too."""
    pool.check(shots, distinct=True)
    per_class = [_class_episodes(pool, c, shots) for c in pool.fold.novel]
    episodes: list[Episode] = []
    for rank in range(len(per_class[0])):
        for class_index, drawn in zip(pool.fold.novel, per_class, strict=True):
            query, supports = drawn[rank]
            episodes.append(Episode(len(episodes), class_index, query, supports))
    return episodes


def draw_mini(pool: EpisodePool, shots: int) -> list[Episode]:
    """`mini-v1`: the first 200 episodes, or as many more as give every class the same number."""
    classes = len(pool.fold.novel)
    return draw(pool, shots)[: -(-MINI // classes) * classes]


def _class_episodes(
    pool: EpisodePool, class_index: int, shots: int
) -> list[tuple[str, tuple[str, ...]]]:
    count = -(-EPISODES // len(pool.fold.novel))
    random = generator("fixed-v1", pool.dataset, pool.fold.index, class_index)
    images = pool.images(class_index)
    queries: list[str] = []
    while len(queries) < count:
        queries.extend(images[i] for i in random.permutation(len(images)))
    episodes: list[tuple[str, tuple[str, ...]]] = []
    for query in queries[:count]:
        order = (images[i] for i in random.permutation(len(images)))
        episodes.append((query, unrelated(pool, query, order, shots)))
    return episodes


def unrelated(pool: EpisodePool, query: str, order: Iterable[str], shots: int) -> tuple[str, ...]:
    """The first images in `order` that are not related to the query, and no copies at all."""
    copy = pool.folds.copies
    supports: dict[str, str] = {}
    for image in order:
        one = copy.get(image, image)
        if not pool.related(query, image) and one not in (copy.get(query, query), *supports):
            supports[one] = image
            if len(supports) == shots:
                return tuple(supports.values())
    raise DatasetError(
        f"{pool.dataset} fold {pool.fold.index}: beside {query} there are only {len(supports)} "
        f"different images for {shots}-shot episodes; copies of it or of each other do not count"
    )


def generator(*parts: object) -> RandomState:
    """A stream of its own for every recipe, dataset, fold and class."""
    name = "/".join(map(str, parts))
    words = hashlib.sha256(name.encode()).digest()
    return RandomState([int.from_bytes(words[i : i + 4], "little") for i in range(0, 32, 4)])
