"""`absent-v1`: is the class there? As many queries that do not hold it as queries that do.

Each episode of `fixed-v1` (even numbers) is followed by one with the same class and supports whose
query is a test image of the fold that does not hold the class (odd numbers). Within a class these
images are walked in a shuffled order, each once before any comes again, so that none is favoured.
"""

from collections import deque
from collections.abc import Iterator

from numpy.random import RandomState

from datasets_prep.episodes import fixed
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError


def draw(pool: EpisodePool, shots: int) -> list[Episode]:
    """Draw the list: any prefix of even length has as many queries of either kind.

    Raises:
        DatasetError: if the fold's images and what they hold are not known, or a class has no test
            image without it that may serve.
    """
    present = fixed.draw(pool, shots)
    if pool.present is None:
        raise DatasetError("it needs label maps: which images hold a class is not in list files")
    without = {index: _Without(pool, index) for index in pool.fold.novel}
    episodes: list[Episode] = []
    for own in present:
        other = without[own.class_index].next(own.supports)
        for query in (own.query, other):
            episodes.append(Episode(len(episodes), own.class_index, query, own.supports))
    return episodes


class _Without:
    """The test images of a fold that do not hold a class, in turn."""

    def __init__(self, pool: EpisodePool, class_index: int) -> None:
        held = pool.present or {}
        self._pool, self._class = pool, class_index
        self._images = [image for image, classes in held.items() if class_index not in classes]
        self._random = fixed.generator("absent-v1", pool.dataset, pool.fold.index, class_index)
        self._waiting: deque[str] = deque()

    def next(self, supports: tuple[str, ...]) -> str:
        """The first in turn that is related to none of the supports; the others keep their turn."""
        passed: list[str] = []
        for image in self._walk():
            if not any(self._pool.related(image, support) for support in supports):
                self._waiting.extendleft(reversed(passed))
                return image
            passed.append(image)
        raise DatasetError(
            f"{self._pool.dataset} fold {self._pool.fold.index}: no test image without "
            f"{self._pool.named(self._class)} may be a query beside {', '.join(supports)}"
        )

    def _walk(self) -> Iterator[str]:
        """Those whose turn it is, then each once more."""
        while self._waiting:
            yield self._waiting.popleft()
        self._waiting.extend(_shuffled(self._images, self._random))
        while self._waiting:
            yield self._waiting.popleft()


def _shuffled(images: list[str], random: RandomState) -> list[str]:
    return [images[place] for place in random.permutation(len(images))]
