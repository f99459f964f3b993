"""Sampling as in PFENet and BAM: a random class of each image that is walked.

Source: JIA-Lab-research/PFENet, util/dataset.py and test.py; chunbolang/BAM, test.py. Test images
are walked in list order. The class is drawn among all novel classes of the image's label map,
those below the list's area rule included; supports are distinct. The published draws depend on
the number of loader processes and cannot be repeated: these lists follow the rule and the seeds,
with one generator in one process.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from numpy.random import RandomState

from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError

T = TypeVar("T")

SEED = 321
EPISODES = 5000
COCO_EPISODES = 20000
BAM_RUNS = 5
BAM_EPISODES = 1000
BAM_SEED = 123


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """One list of 5000 episodes (COCO-20i: 20000), seed 321."""
    count = COCO_EPISODES if pool.dataset == "coco" else EPISODES
    return _walk(pool, shots, count, SEED, first=0)


def draw_bam(pool: EpisodePool, shots: int) -> list[Episode]:
    """Five lists of 1000 one after another; their seeds come from a generator seeded 123."""
    seeds = RandomState(BAM_SEED).randint(0, 1000, BAM_RUNS)
    episodes: list[Episode] = []
    for seed in seeds:
        episodes += _walk(pool, shots, BAM_EPISODES, int(seed), first=len(episodes))
    return episodes


def _walk(pool: EpisodePool, shots: int, count: int, seed: int, first: int) -> list[Episode]:
    if pool.present is None:
        raise DatasetError(
            f"{pool.dataset}: this recipe draws among the classes of each label map; "
            f"prepare the dataset first (list files alone do not hold them)"
        )
    pool.check(shots, distinct=True)
    random = Random(seed)  # noqa: S311 - not for cryptography
    tested = dict.fromkeys(image for image, _ in pool.fold.test)
    images = [image for image in tested if pool.present[image]]
    if not images:
        raise DatasetError(f"{pool.dataset} fold {pool.fold.index}: no mask holds a novel class")
    episodes = []
    for number in range(count):
        query = images[number % len(images)]
        class_index = _pick(random, pool.present[query])
        candidates = pool.images(class_index)
        supports: list[str] = []
        while len(supports) < shots:
            support = _pick(random, candidates)
            if support not in supports and not pool.related(query, support):
                supports.append(support)
        episodes.append(Episode(first + number, class_index, query, tuple(supports)))
    return episodes


def _pick(random: Random, items: Sequence[T]) -> T:
    """A uniform item; only `Random.random` has a stream that Python promises to keep."""
    return items[int(random.random() * len(items))]
