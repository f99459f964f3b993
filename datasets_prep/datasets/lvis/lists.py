"""Folds of LVIS-92i: the classes of enough images, dealt out to ten folds.

Source: aim-uofa/Matcher, matcher/data/lvis.py. Of the classes with more test images than an
episode has supports, in the order of `lvis_val.pkl`, fold f tests those at f, f+10, f+20, ...;
what ten does not divide is tested in none. Episode i is of class i modulo their number.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from datasets_prep.datasets.lvis.index import Entry
from datasets_prep.datasets.lvis.release import EPISODES, FOLDS
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import read_plain_pickle
from datasets_prep.prepared.folds import Fold, FoldSet, interleaved

# Class -> test images that show it; both orders matter to the published sampler.
Lists = Mapping[int, tuple[str, ...]]
ClassRule = Literal["per-shot", "fixed"]

PER_SHOT, FIXED = 1, 5  # images that a class of `FoldSet.folds` exceeds
# What detectron2's reader of LVIS leaves in every annotation, if the pickle is of its making.
_ENUMERATION = "detectron2.structures.boxes.BoxMode"


def derived_lists(entries: Iterable[Entry]) -> Lists:
    """Classes by index, and of each its images by id: the order of detectron2's reader."""
    lists: dict[int, list[str]] = {}
    for entry in entries:
        for index in entry.classes:
            lists.setdefault(index, []).append(entry.image_id)
    return {index: tuple(lists[index]) for index in sorted(lists)}


def published_lists(
    path: Path, annotated: Lists, classes: Sequence[str], left_out: Collection[str] = ()
) -> Lists:
    """Classes and images in the order of Matcher's `lvis_val.pkl`.

    The pickle maps a category to its images by file name, and those to their annotations. Whether
    categories are numbered from one, as in LVIS, or from zero, as detectron2 numbers them, is
    told by the pairs, which must be annotated.

    Args:
        path: the pickle.
        annotated: the pairs that there are.
        classes: names by class index, for messages.
        left_out: images that are missing there on purpose.

    Raises:
        DatasetError: if the file is none, or lists pairs that are not annotated.
    """
    try:
        stored = read_plain_pickle(path, (_ENUMERATION,))
        by_category = {
            int(category): tuple(_image_id(name) for name in images)
            for category, images in stored.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise DatasetError(f"{path}: expected a dict of category -> image name -> dict") from None
    except DatasetError as error:
        raise DatasetError(f"{error}; --lists derived does without it") from None
    strangers: list[tuple[int, str]] = []
    for first in (1, 0):
        lists = {category - first: images for category, images in by_category.items()}
        strangers = [
            (index, image)
            for index, images in lists.items()
            for image in sorted({*images}.difference(annotated.get(index, ()), left_out))
        ]
        if not strangers:
            return lists
    # By the last of the two numberings.
    index, image = strangers[0]
    name = f"{classes[index]!r} ({index})" if 0 <= index < len(classes) else str(index)
    raise DatasetError(
        f"{path} lists {len(strangers):,} pairs that are not annotated, as image {image} of "
        f"category {name}; is it of another version of LVIS?"
    )


def fold_set(
    lists: Lists,
    classes: int,
    rule: ClassRule,
    shots: Sequence[int],
    name: str,
) -> FoldSet:
    """All folds, and with `per-shot` those of every number of supports.

    Args:
        lists: as derived or published.
        classes: the number of all classes, listed or not.
        rule: which classes are tested.
        shots: of the episode lists that will be drawn.
        name: of the lists, for people.

    Raises:
        DatasetError: if too few classes have enough images.
    """
    if rule == "fixed":
        folds, of_shots = _ten(lists, classes, FIXED), {}
        name = f"{name}, fixed classes"
    else:
        folds = _ten(lists, classes, PER_SHOT)
        others = sorted({*shots} - {PER_SHOT})
        of_shots = {count: _ten(lists, classes, count) for count in others}
    return FoldSet(
        folds=folds,
        query_order="cycle",
        published_episodes=EPISODES,
        lists=name,
        of_shots=of_shots,
    )


def _ten(lists: Lists, classes: int, images: int) -> tuple[Fold, ...]:
    """The folds of the classes with more than so many images."""
    candidates = [index for index, held in lists.items() if len(held) > images]
    if len(candidates) < FOLDS:
        raise DatasetError(
            f"{len(candidates)} classes have more than {images} test images, too few for "
            f"{FOLDS} folds of {images}-shot episodes; choose other --shots"
        )
    folds = []
    for number, places in enumerate(interleaved(len(candidates) // FOLDS * FOLDS, FOLDS)):
        novel = tuple(candidates[place] for place in places)
        held_out = frozenset(novel)
        folds.append(
            Fold(
                index=number,
                base=tuple(index for index in range(classes) if index not in held_out),
                novel=novel,
                train=(),
                test=tuple((image, index) for index in novel for image in lists[index]),
            )
        )
    return tuple(folds)


def _image_id(name: str) -> str:
    """`val2017/000000397133` of a path that ends in `val2017/000000397133.jpg`."""
    return "/".join(PurePosixPath(name).with_suffix("").parts[-2:])
