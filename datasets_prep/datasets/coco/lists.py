"""Fold lists of COCO-20i: as published, or derived from the rendered labels.

Order of the pairs: class by class. Within a class HSNet's lists keep the order of PFENet's
`lists/coco/{train,val}.txt`, which no rule explains; derived lists are by image id, so that even
lists of the same pairs give other episodes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from datasets_prep.builder import Areas, Splits
from datasets_prep.datasets.coco.classes import CLASSES
from datasets_prep.datasets.coco.release import FOLDS, MIN_AREA
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.recipes import USUAL, recipes
from datasets_prep.errors import DatasetError, refuse
from datasets_prep.prepared.folds import (
    FoldSet,
    NovelInTrain,
    Pair,
    interleaved,
    split,
    without_novel_images,
)


def derived_folds(areas: Areas, splits: Splits) -> FoldSet:
    """The four folds of all pairs of at least `MIN_AREA` pixels; fold f tests f, f+4, f+8, ...

    Args:
        areas: pixels of each class, by image.
        splits: "train" or "test", by image.
    """
    pairs: dict[str, list[Pair]] = {"train": [], "test": []}
    for image, held in sorted(areas.items()):
        pairs[splits[image]] += [(image, index) for index in held if held[index] >= MIN_AREA]
    for part in pairs.values():
        part.sort(key=lambda pair: pair[1])
    folds = split(interleaved(len(CLASSES), FOLDS), pairs["train"], pairs["test"])
    return FoldSet(folds=folds, query_order="draw", lists="derived")


def with_novel(folds: FoldSet, novel: NovelInTrain, areas: Areas) -> FoldSet:
    """The folds with novel classes in training images treated as asked for."""
    kept = folds.folds
    if novel == "drop":
        kept = tuple(without_novel_images(fold, areas) for fold in kept)
    return replace(folds, folds=kept, novel_in_train=novel)


def named_images(
    dataset: str, folds: FoldSet, classes: Sequence[str], shots: Sequence[int]
) -> list[str]:
    """Every image, by id, of the episode lists that can be drawn from list files alone.

    Args:
        dataset: its name.
        folds: from the list files.
        classes: names by class index, for messages.
        shots: of the lists.

    Raises:
        DatasetError: if that is none.
    """
    images: set[str] = set()
    reasons = []
    names = dict(enumerate(classes))
    for fold in folds.folds:
        for count in shots:
            pool = EpisodePool(dataset, folds, folds.fold(fold.index, count), classes=names)
            for recipe in USUAL:
                try:
                    episodes = recipes()[recipe](pool, count)
                except DatasetError as error:
                    reasons.append(str(error))
                    continue
                images.update(i for e in episodes for i in (e.query, *e.supports))
    if not images:
        raise DatasetError(f"no episode list can be drawn: {'; '.join(reasons) or 'no shots'}")
    return sorted(images)


def check_known(images: Iterable[str], known: Iterable[str]) -> None:
    """Refuse lists of images that there are not.

    Raises:
        DatasetError: naming them.
    """
    unknown = sorted(set(images).difference(known))
    refuse("the lists name images without annotations; are the archives complete?", unknown, 10)
