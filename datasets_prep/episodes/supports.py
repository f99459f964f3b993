"""`supports-v1`: how much hangs on the support? Fixed queries, each with ten single supports.

Every novel class has the same number of queries, or all its images where they are fewer, so that a
fold has 1000 episodes or a little more, and fewer of a small dataset.
Queries and supports are drawn as in `fixed-v1`: shuffled, distinct, none related to the other, and
no copies.
"""

from datasets_prep.episodes import fixed
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError

SUPPORTS = 10
QUERIES = 100


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """Draw the list, query by query: the ten episodes of one query follow each other.

    Raises:
        DatasetError: if more than one support is asked for, or a class has too few images.
    """
    if shots != 1:
        raise DatasetError("each of its supports stands alone: 1 shot")
    pool.check(SUPPORTS, distinct=True)
    per_class = [_queries(pool, index) for index in pool.fold.novel]
    episodes: list[Episode] = []
    for rank in range(max(map(len, per_class))):
        for index, own in zip(pool.fold.novel, per_class, strict=True):
            if rank < len(own):
                query, supports = own[rank]
                for support in supports:
                    episodes.append(Episode(len(episodes), index, query, (support,)))
    return episodes


def _queries(pool: EpisodePool, class_index: int) -> list[tuple[str, tuple[str, ...]]]:
    images = pool.images(class_index)
    random = fixed.generator("supports-v1", pool.dataset, pool.fold.index, class_index)
    count = min(-(-QUERIES // len(pool.fold.novel)), len(images))
    drawn = []
    for query in [images[place] for place in random.permutation(len(images))[:count]]:
        order = (images[place] for place in random.permutation(len(images)))
        drawn.append((query, fixed.unrelated(pool, query, order, SUPPORTS)))
    return drawn
