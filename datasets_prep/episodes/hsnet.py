"""The published sampling of HSNet, Matcher and DiffewS, bit for bit.

Source: juhongm999/hsnet, data/{pascal,coco,fss}.py and test.py (seed 0, one process); for classes
in turn slei109/PATNet, data/{isic,lung,deepglobe}.py. One legacy generator serves a whole list.
Supports are drawn one by one, until K of them differ from the query; nothing stops a support from
coming twice. Datasets of crops are drawn as in `episodes/crops.py`.
"""

from numpy.random import RandomState

from datasets_prep.episodes import crops
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.legacy import SEED, choice
from datasets_prep.episodes.pool import EpisodePool

EPISODES = 1000


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """Draw the list; 1000 episodes unless the dataset's publication has its own number."""
    if pool.fold.crops is not None:
        return crops.draw(pool, shots)
    pool.check(shots, distinct=False)
    random = RandomState(SEED)
    count = pool.folds.published_episodes or EPISODES
    if count == "pairs":
        count = len(pool.fold.test)
    order = pool.folds.query_order
    episodes = []
    for index in range(count):
        if order == "walk":
            query, class_index = pool.fold.test[index % len(pool.fold.test)]
        else:
            novel = pool.fold.novel
            cycle = order == "cycle"
            class_index = novel[index % len(novel)] if cycle else choice(random, novel)
            query = choice(random, pool.images(class_index))
        supports: list[str] = []
        while len(supports) < shots:
            support = choice(random, pool.images(class_index))
            if not pool.related(query, support):
                supports.append(support)
        episodes.append(Episode(index, class_index, query, tuple(supports)))
    return episodes
