"""Seeded draws of training samples: each step has a generator of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from benchmarks.train.base_classes import base_images
from datasets_prep.prepared.folds import FoldSet

CHANNEL_ORDERS = tuple(permutations(range(3)))


def generator(seed: int, *place: int) -> np.random.RandomState:
    """The generator of one step: a resumed run needs no other state than the step's number."""
    return np.random.RandomState([seed, *place])


@dataclass(frozen=True)
class Variant:
    """An exact change of an image that keeps what it shows.

    Attributes:
        colours: index into `CHANNEL_ORDERS`; 0 keeps the colours.
        flip: mirrored left to right.
    """

    colours: int = 0
    flip: bool = False

    def image(self, image: Tensor) -> Tensor:
        """...×3×H×W, changed."""
        return self.mask(image[..., list(CHANNEL_ORDERS[self.colours]), :, :])

    def mask(self, mask: Tensor) -> Tensor:
        """...×H×W, changed."""
        return mask.flip(-1) if self.flip else mask


def variant(random: np.random.RandomState, wanted: bool, colours: int | None = None) -> Variant:
    """A variant drawn at random, or the image as it is; `colours` fixes the order of channels."""
    if not wanted:
        return Variant()
    order = random.randint(len(CHANNEL_ORDERS)) if colours is None else colours
    return Variant(int(order), bool(random.randint(2)))


@dataclass(frozen=True)
class TrainEpisode:
    """One sample of a training on episodes.

    Attributes:
        class_index: a base class.
        query: its image, and how it is changed.
        supports: other images of the class.
        seed: of what else is drawn for it, such as noise.
    """

    class_index: int
    query: tuple[str, Variant]
    supports: tuple[tuple[str, Variant], ...]
    seed: int


class BaseEpisodes:
    """Episodes of a fold's base classes: class, query and supports each drawn evenly.

    As the published COCO-20i loaders draw them, but no episode holds an image twice, or two of
    one video or patient; save for those that `copies` asks for.
    """

    def __init__(
        self,
        folds: FoldSet,
        fold: int,
        *,
        augment: bool = False,
        copies: float = 0.0,
        held_out: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        """Take a fold's training list, without what is held out, or that alone.

        Args:
            folds: the dataset's.
            fold: which one.
            augment: draw variants of the images; the order of channels is an episode's.
            copies: share of episodes whose first support is the query's own image, mirrored or
                not: they teach to match before anything else is learned.
            held_out: take what training leaves out, for validation; see `base_images`.
            names: of the dataset's classes, for messages.

        Raises:
            BenchError: if the list names a class that is not a base class of the fold, or no
                class has two images to make a pair of.
        """
        self._augment, self._copies = augment, copies
        base = base_images(folds, fold, held_out, names)
        self._images, self._group = base.images, base.group
        self._groups = {c: len({base.group[i] for i in base.images[c]}) for c in base.images}

    @property
    def classes(self) -> tuple[int, ...]:
        """The base classes that episodes are drawn of."""
        return tuple(self._images)

    def draw(self, random: np.random.RandomState, shots: int) -> TrainEpisode:
        """One episode with `shots` supports, or as many as its class can give."""
        classes = self.classes
        index = classes[random.randint(len(classes))]
        images = self._images[index]
        wanted = min(shots, self._groups[index] - 1)
        chosen: list[str] = []
        taken: set[str] = set()
        while len(chosen) <= wanted:
            image = images[random.randint(len(images))]
            if self._group[image] not in taken:
                taken.add(self._group[image])
                chosen.append(image)
        first = variant(random, self._augment)
        if self._copies and random.random_sample() < self._copies:
            chosen[1] = chosen[0]
        rest = [variant(random, self._augment, first.colours) for _ in chosen[1:]]
        return TrainEpisode(
            index,
            (chosen[0], first),
            tuple(zip(chosen[1:], rest, strict=True)),
            int(random.randint(2**31)),
        )


class EveryPair:
    """Episodes of a fold's base classes: every (image, class) is the query once in a round.

    As HSNet draws them: the queries of a round in random order, and to each a support from the
    class's other images, of another video or patient. What else an image shows is background,
    novel classes included.
    """

    def __init__(self, folds: FoldSet, fold: int, seed: int, *, names: Sequence[str] = ()) -> None:
        """Take a fold's training list, without what is held out; see `base_images`.

        Args:
            folds: the dataset's.
            fold: which one.
            seed: of the rounds' orders.
            names: of the dataset's classes, for messages.

        Raises:
            BenchError: as `base_images` does.
        """
        base = base_images(folds, fold, held_out=False, names=names)
        self._images, self._group, self._seed = base.images, base.group, seed
        self.pairs = [(image, index) for index, images in base.images.items() for image in images]

    def draw(self, step: int, count: int) -> list[TrainEpisode]:
        """The `count` one-shot episodes of a step, the first being step 1."""
        places = [
            divmod(number, len(self.pairs)) for number in range((step - 1) * count, step * count)
        ]
        orders = {
            number: generator(self._seed, number).permutation(len(self.pairs))
            for number in {number for number, _ in places}
        }
        return [self._episode(number, place, orders[number][place]) for number, place in places]

    def _episode(self, number: int, place: int, pair: int) -> TrainEpisode:
        """The episode at a place of a round, whose query is given."""
        random = generator(self._seed, number, place)
        query, index = self.pairs[pair]
        images, support = self._images[index], query
        while self._group[support] == self._group[query]:
            support = images[random.randint(len(images))]
        drawn = int(random.randint(2**31))
        return TrainEpisode(index, (query, Variant()), ((support, Variant()),), drawn)


def noises(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, one of `shape` for each seed, the same on every machine."""
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
