"""`nway2-v1`, `nway5-v1`: more than one class. A query whose pixels belong to one of N or to none.

An N-way episode is N episodes of the list that follow each other: one query, a class each, in a
drawn order, each with its K supports. The first of two N-way episodes has a query that holds two
of the N classes by the fold's lists; that of the second holds one of them, the rest by chance, so
that absent classes occur.

Classes take turns as the one that is there. The one that is there with it, and those that fill up
the N, are of the classes that were asked least often so far. Queries are walked in a shuffled
order, each once before any comes again. Supports are drawn as in `fixed-v1`, so that lists of
fewer shots begin those of more.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

from numpy.random import RandomState

from datasets_prep.episodes import fixed
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold

QUERIES = 500


def draw(pool: EpisodePool, shots: int, *, ways: int) -> list[Episode]:
    """Draw the list: class by class in turn, so that any prefix is balanced too.

    Raises:
        DatasetError: if the fold has fewer classes, or a class of any fold, so that no row would
            be of the whole dataset, shares no test image with another.
    """
    pool.check(shots, distinct=True)
    novel = pool.fold.novel
    if len(novel) < ways:
        raise DatasetError(
            f"{pool.dataset} fold {pool.fold.index} has {len(novel)} novel classes, not {ways}"
        )
    for index in pool.folds.tested:
        fold = pool.folds.fold(index, shots)
        together = {
            held for classes in _held(fold).values() if len(classes) > 1 for held in classes
        }
        for alone in sorted({*fold.novel} - together):
            raise DatasetError(
                f"{pool.dataset} fold {index}: no test image of {pool.named(alone)} holds another "
                f"of the fold's classes"
            )
    drawing = _Drawing(pool, shots, ways)
    episodes: list[Episode] = []
    for _ in range(-(-QUERIES // (2 * len(novel)))):
        for held in novel:
            for two in (True, False):
                episodes += drawing.next(len(episodes), held, two=two)
    return episodes


draw_two = functools.partial(draw, ways=2)
draw_five = functools.partial(draw, ways=5)


def _held(fold: Fold) -> Mapping[str, Sequence[int]]:
    """The novel classes of each test image, by the fold's lists."""
    held: dict[str, list[int]] = {}
    for image, index in fold.test:
        held.setdefault(image, []).append(index)
    return held


def _shared(fold: Fold) -> Mapping[int, Mapping[int, Sequence[str]]]:
    """The test images that hold two classes, by the one and then by the other, in listed order."""
    shared: dict[int, dict[int, list[str]]] = {index: {} for index in fold.novel}
    for image, classes in _held(fold).items():
        for one in classes:
            for other in classes:
                if one != other:
                    shared[one].setdefault(other, []).append(image)
    return shared


class _Drawing:
    """One stream for a fold: what it gives next depends on what it gave, not on the shots."""

    def __init__(self, pool: EpisodePool, shots: int, ways: int) -> None:
        self._pool, self._shots, self._ways = pool, shots, ways
        self._random = fixed.generator(f"nway{ways}-v1", pool.dataset, pool.fold.index)
        self._shared = _shared(pool.fold)
        self._asked = dict.fromkeys(pool.fold.novel, 0)
        self._turns: dict[tuple[int, int | None], Iterator[str]] = {}

    def next(self, first: int, held: int, *, two: bool) -> list[Episode]:
        """The episodes, numbered from `first`, of one query that holds `held`."""
        classes, other = [held], None
        if two:
            other = self._least_asked(self._shared[held])
            classes.append(other)
        while len(classes) < self._ways:
            classes.append(self._least_asked(set(self._asked).difference(classes)))
        query = self._query(held, other)
        episodes: list[Episode] = []
        for place in self._random.permutation(self._ways):
            images = self._pool.images(classes[place])
            order = (images[i] for i in self._random.permutation(len(images)))
            supports = fixed.unrelated(self._pool, query, order, self._shots)
            number = first + len(episodes)
            episodes.append(Episode(number, classes[place], query, supports))
        return episodes

    def _least_asked(self, among: Mapping[int, object] | set[int]) -> int:
        fewest = min(self._asked[index] for index in among)
        least = [index for index in sorted(among) if self._asked[index] == fewest]
        chosen = least[int(self._random.randint(len(least)))]
        self._asked[chosen] += 1
        return chosen

    def _query(self, held: int, other: int | None) -> str:
        if (held, other) not in self._turns:
            shared = self._pool.images(held) if other is None else self._shared[held][other]
            self._turns[held, other] = _turns(shared, self._random)
        return next(self._turns[held, other])


def _turns(images: Sequence[str], random: RandomState) -> Iterator[str]:
    while True:
        yield from (images[i] for i in random.permutation(len(images)))
