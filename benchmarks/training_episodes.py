"""Episodes to train on: base classes alone, drawn from a fold's training list by a seed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from benchmarks.errors import BenchError
from benchmarks.loader import Loader
from datasets_prep.episodes.episode import Episode
from datasets_prep.folds import FoldSet, Pair
from models.geometry import Geometry
from models.hsnet.train import Episodes

_SPARED = 20  # of so many, two are kept for validation
_FEWEST = 8  # of a class that gives any


def held_out(folds: FoldSet, fold: int) -> frozenset[str]:
    """Training images that are kept for validation: two videos, patients or images in twenty.

    Two, so that a class can make pairs of them; a class with fewer than eight gives none.
    """
    chosen = folds.fold(fold)
    by_class: dict[int, set[str]] = {}
    for image, index in chosen.train:
        by_class.setdefault(index, set()).add(folds.group_of(image))
    spared = {
        group
        for groups in by_class.values()
        if len(groups) >= _FEWEST
        for number, group in enumerate(sorted(groups))
        if number % _SPARED < 2
    }
    return frozenset(image for image, _ in chosen.train if folds.group_of(image) in spared)


def validation_episodes(folds: FoldSet, fold: int, count: int) -> list[Episode]:
    """The same one-shot episodes of held-out images every time; none where no class has a pair."""
    without = {image for image, _ in folds.fold(fold).train} - held_out(folds, fold)
    try:
        return list(islice(training_episodes(folds, fold, 0, without), count))
    except BenchError:
        return []


def training_episodes(
    folds: FoldSet, fold: int, seed: int, without: Collection[str] = frozenset()
) -> Iterator[Episode]:
    """One-shot episodes of base classes, without end.

    As HSNet trains: every (image, class) of the training list is the query once in a round, in
    random order, and its support is drawn from the class's other images. What else an image
    shows is background, novel classes included.

    Args:
        folds: the dataset's folds.
        fold: which one to train for.
        seed: of numpy's `RandomState`, which draws the same on every machine.
        without: images that are never drawn.

    Raises:
        BenchError: if the training list names a class that is not a base class of this fold, or
            no class of it has two images.
    """
    chosen = folds.fold(fold)
    groups: dict[int, dict[str, str]] = {}
    for image, index in chosen.train:
        if index not in chosen.base or index in chosen.novel:
            raise BenchError(
                f"fold {fold}: the training list has image {image} for class {index}, which is not "
                "a base class; mend folds.json: prepare the dataset again with bench prepare"
            )
        if image not in without:
            groups.setdefault(index, {})[image] = folds.group_of(image)
    # Videos and patients are not to support themselves, nor is an image.
    pairs = [
        (image, index)
        for image, index in chosen.train
        if image not in without and len(set(groups[index].values())) > 1
    ]
    if not pairs:
        raise BenchError(f"fold {fold}: no base class has two training images to make a pair of")
    return _drawn(pairs, groups, np.random.RandomState(seed))


def _drawn(
    pairs: list[Pair], groups: dict[int, dict[str, str]], random: np.random.RandomState
) -> Iterator[Episode]:
    images = {index: tuple(group) for index, group in groups.items()}
    number = 0
    while True:
        for position in random.permutation(len(pairs)):
            query, index = pairs[position]
            group = groups[index]
            support = query
            while group[support] == group[query]:
                support = images[index][random.randint(len(images[index]))]
            yield Episode(number, index, query, (support,))
            number += 1


def training_batches(
    loader: Loader, episodes: Iterable[Episode], geometry: Geometry, size: int, device: torch.device
) -> Iterator[Episodes]:
    """The pixels and masks of `episodes`, `size` at a time, on the grid and the device.

    The next batch is decoded while the caller works on this one.
    """
    drawn = iter(episodes)
    ahead = _begun(loader, drawn, geometry, size)
    while ahead:
        batch, ahead = ahead, _begun(loader, drawn, geometry, size)
        queries = [(episode.query, episode.class_index) for episode in batch]
        supports = [(episode.supports[0], episode.class_index) for episode in batch]
        yield Episodes(
            *_loaded(loader, queries, geometry, device),
            *_loaded(loader, supports, geometry, device),
        )


def _begun(
    loader: Loader, drawn: Iterator[Episode], geometry: Geometry, size: int
) -> list[Episode]:
    """The next batch, its images being decoded."""
    batch = list(islice(drawn, size))
    names = {name for episode in batch for name in (episode.query, *episode.supports)}
    loader.prefetch_images(sorted(names), geometry)
    return batch


def _loaded(
    loader: Loader, pairs: Sequence[Pair], geometry: Geometry, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images in 0..1 (B×3×H×W) and masks in {0, 1} (B×H×W)."""
    images = torch.stack([loader.image(image, geometry) for image, _ in pairs])
    masks = torch.stack([loader.support_mask(*pair, geometry) for pair in pairs])
    return images.to(device).float() / 255, masks.to(device).float()
