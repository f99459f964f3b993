"""The published sampling of Matcher where images are crops of objects, bit for bit.

Source: aim-uofa/Matcher, matcher/data/{pascal_part,paco_part}.py, seed 0, in a process that draws
nothing else. An image is drawn, then one of its objects, which becomes the crop.

Pascal-Part ("cycle"): classes in turn, at most as many episodes as there are (image, class) pairs;
an object that lacks the part is drawn again with its image; supports are of different images.

PACO-Part ("draw"): the class is drawn; supports may repeat. An episode with an object that has no
crop is drawn again, as in visinf/INSID3; Matcher fails on it.
"""

from numpy.random import RandomState

from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.legacy import SEED, choice
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Crops

EPISODES = 2500


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """Draw the list; 2500 episodes unless the dataset's publication has its own number.

    Raises:
        DatasetError: if a class has crops of too few images.
    """
    crops, classes = pool.fold.crops or {}, pool.fold.novel
    in_turn = pool.folds.query_order == "cycle"
    for index in classes:
        _check(pool, index, crops[index], needed=shots + 1 if in_turn else 2)
    published = pool.folds.published_episodes
    count = published if isinstance(published, int) else EPISODES
    if in_turn:
        count = min(count, sum(map(len, crops.values())))
    random = RandomState(SEED)
    episodes: list[Episode] = []
    while len(episodes) < count:
        drawn: list[str] | None
        if in_turn:
            index = classes[len(episodes) % len(classes)]
            drawn = _of_different_images(random, crops[index], shots)
        else:
            index = choice(random, classes)
            drawn = _of_other_images(random, crops[index], shots)
        if drawn is not None:
            episodes.append(Episode(len(episodes), index, drawn[0], tuple(drawn[1:])))
    return episodes


def _of_different_images(random: RandomState, images: Crops, shots: int) -> list[str]:
    """Query and supports, each of an image of its own."""
    taken: dict[tuple[str | None, ...], str] = {}
    while len(taken) <= shots:
        image = choice(random, images)
        if image not in taken and (crop := choice(random, image)) is not None:
            taken[image] = crop
    return list(taken.values())


def _of_other_images(random: RandomState, images: Crops, shots: int) -> list[str] | None:
    """Query and supports, which may repeat but are not of the query's image; None if unusable."""
    # By number, for two images without any crop look alike.
    numbers = range(len(images))
    query = choice(random, numbers)
    drawn = [choice(random, images[query])]
    while len(drawn) <= shots:
        other = choice(random, numbers)
        if other != query:
            drawn.append(choice(random, images[other]))
    usable = [crop for crop in drawn if crop is not None]
    return usable if len(usable) == len(drawn) else None


def _check(pool: EpisodePool, index: int, images: Crops, needed: int) -> None:
    usable = {image for image in images if any(image)}
    if len(usable) < needed:
        raise DatasetError(
            f"{pool.dataset} fold {pool.fold.index}: {pool.named(index)} has crops of "
            f"{len(usable)} images, too few for these episodes"
        )
