"""What of the tested images and classes a model may have seen before: in training, or elsewhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datasets_prep.leaks.class_names import shared
from datasets_prep.leaks.fingerprints import Prints, nearest
from datasets_prep.prepared.dataset import PreparedDataset

DISTANCE = 32  # bits of 256 in which near duplicates may differ


@dataclass(frozen=True)
class Match:
    """A tested image with the seen image that it matches.

    Attributes:
        tested: its id.
        seen: the other's id.
        distance: bits of their looks that differ; None where the images are equal.
    """

    tested: str
    seen: str
    distance: int | None = None


@dataclass(frozen=True)
class Leak:
    """What two parts have in common; an image stands in the first list that it fits.

    Attributes:
        seen: what was seen, such as `train of fold 0`.
        tested: what is tested.
        images: number of tested images.
        same: images that are in both parts, by name.
        equal: others whose content equals that of a seen one of another name.
        near: others that look like a seen one.
        classes: tested classes whose name is among the seen ones.
        copies: tested images that equal an earlier tested one of another name, whichever list
            they stand in: a support may equal its query.
        compared: number of seen images that are prepared, so that they were compared.
        named: number of images that the seen part's lists name.
    """

    seen: str
    tested: str
    images: int
    same: tuple[Match, ...]
    equal: tuple[Match, ...]
    near: tuple[Match, ...]
    classes: tuple[str, ...]
    copies: tuple[Match, ...] = ()
    compared: int = 0
    named: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of the seen part was compared, and there is one."""
        return self.compared == self.named > 0

    def __bool__(self) -> bool:
        return bool(self.same or self.equal or self.near or self.classes or self.copies)


def within(dataset: PreparedDataset, prints: Prints, distance: int = DISTANCE) -> list[Leak]:
    """Training against test part of every fold, as far as their images are prepared.

    Args:
        dataset: the dataset.
        prints: of its images.
        distance: how many bits of near duplicates may differ.
    """
    leaks, held = [], set(dataset.image_ids)
    for fold in dataset.folds.folds:
        base, novel = ([dataset.classes[index] for index in c] for c in (fold.base, fold.novel))
        named, listed = (
            list(dict.fromkeys(image for image, _ in pairs)) for pairs in (fold.train, fold.test)
        )
        seen, tested = ([image for image in ids if image in held] for ids in (named, listed))
        same, rest = _same(seen, tested)
        equal, near = _matches(prints.only(seen), prints.only(rest), distance)
        names = f"train of fold {fold.index}", f"test of fold {fold.index}"
        copies = _copies(prints.only(tested))
        classes, counts = shared(novel, base), (len(seen), len(named))
        leaks.append(Leak(*names, len(tested), same, equal, near, classes, copies, *counts))
    return leaks


def between(
    seen: PreparedDataset,
    seen_prints: Prints,
    tested: PreparedDataset,
    tested_prints: Prints,
    distance: int = DISTANCE,
) -> list[Leak]:
    """Every part of one dataset against every part of another; arguments as in `within`."""
    classes = shared(tested.classes, seen.classes)
    leaks = []
    for seen_name, seen_ids, named in _parts(seen):
        for tested_name, tested_ids, _ in _parts(tested):
            equal, near = _matches(
                seen_prints.only(seen_ids), tested_prints.only(tested_ids), distance
            )
            names = f"{seen_name} of {seen.name}", f"{tested_name} of {tested.name}"
            counts = len(seen_ids), named
            leaks.append(Leak(*names, len(tested_ids), (), equal, near, classes, (), *counts))
    return leaks


def _parts(dataset: PreparedDataset) -> list[tuple[str, list[str], int]]:
    """The images of all folds' training and test lists, and those on no list; empty ones left out.

    Of each part its prepared images, and how many it names. Where both lists name the same images,
    they are one part.
    """
    folds = dataset.folds.folds
    train = {image for fold in folds for image, _ in fold.train}
    test = {image for fold in folds for image, _ in fold.test}
    parts = {"train": train, "test": test} if train != test else {"train and test": test}
    parts["rest"] = set(dataset.image_ids) - train - test
    return [
        (name, [image for image in dataset.image_ids if image in held], len(held))
        for name, held in parts.items()
        if held
    ]


def _same(seen: Iterable[str], tested: Sequence[str]) -> tuple[tuple[Match, ...], list[str]]:
    known = set(seen)
    return (
        tuple(Match(image, image) for image in tested if image in known),
        [image for image in tested if image not in known],
    )


def _copies(prints: Prints) -> tuple[Match, ...]:
    first: dict[str, str] = {}
    pairs = zip(prints.ids, prints.exact, strict=True)
    firsts = ((image, first.setdefault(key, image)) for image, key in pairs)
    return tuple(Match(image, other) for image, other in firsts if image != other)


def _matches(
    seen: Prints, tested: Prints, distance: int
) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
    """Tested images that equal a seen one, and others that look like one."""
    by_hash = dict(zip(reversed(seen.exact), reversed(seen.ids), strict=True))
    equal, rest = [], []
    for row, (image, key) in enumerate(zip(tested.ids, tested.exact, strict=True)):
        if key in by_hash:
            equal.append(Match(image, by_hash[key]))
        else:
            rest.append(row)
    if not (rest and seen.ids) or seen.looks is None or tested.looks is None:
        return tuple(equal), ()
    places, distances = nearest(seen.looks, tested.looks[rest])
    near = tuple(
        Match(tested.ids[rest[index]], seen.ids[places[index]], int(distances[index]))
        for index in np.flatnonzero(distances <= distance)
    )
    return tuple(equal), near
