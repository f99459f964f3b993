"""Fold splits: which classes are base or novel, and the ordered (image, class) lists.

Orders matter: the published samplers walk or index these lists, so they are kept as published.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from datasets_prep.errors import DatasetError

Pair = tuple[str, int]  # (image id, class index)
Crops = tuple[tuple[str | None, ...], ...]
QueryOrder = Literal["walk", "draw", "cycle"]
NovelInTrain = Literal["background", "ignore", "drop"]


@dataclass(frozen=True)
class Fold:
    """One partition of the classes.

    Attributes:
        index: 0-based number of the fold.
        base: training classes.
        novel: test classes, in the order in which published samplers index them.
        train: ordered (image, class) pairs of base classes.
        test: ordered (image, class) pairs of novel classes.
        candidates: per class the images a sampler draws from, where their order is not that of
            `test` (FSS-1000 walks its images as strings and draws them as numbers).
        crops: where images are crops of larger ones, per class the larger images that a sampler
            draws from, each as its crops; None stands for one that cannot be used.
    """

    index: int
    base: tuple[int, ...]
    novel: tuple[int, ...]
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    candidates: Mapping[int, tuple[str, ...]] | None = None
    crops: Mapping[int, Crops] | None = None

    @cached_property
    def images_of(self) -> Mapping[int, tuple[str, ...]]:
        """Per novel class the images a sampler draws from, in order."""
        if self.candidates is not None:
            return self.candidates
        by_class: dict[int, list[str]] = {index: [] for index in self.novel}
        for image, index in self.test:
            by_class[index].append(image)
        return {index: tuple(images) for index, images in by_class.items()}


@dataclass(frozen=True)
class FoldSet:
    """All folds of a dataset and what samplers must know about it.

    Attributes:
        folds: the folds, by index.
        query_order: "walk" where the published sampler takes queries in list order, wrapping
            round (PASCAL-5i, FSS-1000); "draw" where it draws class, then query (COCO-20i);
            "cycle" where it takes the classes in turn and draws the query (PATNet's targets).
        published_episodes: the published number of episodes a fold, "pairs" for as many as the
            fold has test pairs; None where there is none.
        group: regular expression whose first group names an image's video, patient or scene;
            no episode pairs query and support of one group.
        lists: which lists these are ("published", "oslsm", ...), for people.
        novel_in_train: what novel classes are in training images: "background" (most codebases),
            "ignore" (a trainer sets their pixels to 255, as RePRI does), or "drop" (such images
            are not in the training lists, as in BAM).
        of_shots: the folds of those numbers of supports for which they are not `folds` (the
            classes of LVIS-92i are those that have more images than an episode has supports).
        copies: of images whose files are equal the first one's name; `fixed-v1` pairs no two.
    """

    folds: tuple[Fold, ...]
    query_order: QueryOrder = "walk"
    published_episodes: int | Literal["pairs"] | None = None
    group: str | None = None
    lists: str = "derived"
    novel_in_train: NovelInTrain = "background"
    notes: tuple[str, ...] = field(default=())
    of_shots: Mapping[int, tuple[Fold, ...]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def tested(self) -> tuple[int, ...]:
        """The folds that have a class to test; all but for what is prepared in part."""
        return tuple(fold.index for fold in self.folds if fold.novel)

    def fold(self, index: int, shots: int | None = None) -> Fold:
        """The fold with this index, as it is tested with so many supports.

        Raises:
            DatasetError: if there is none.
        """
        if not 0 <= index < len(self.folds):
            raise DatasetError(f"no fold {index}: folds are 0..{len(self.folds) - 1}")
        folds = self.folds if shots is None else self.of_shots.get(shots, self.folds)
        return folds[index]

    def group_of(self, image: str) -> str:
        """The group of an image: its own id where the dataset has no groups.

        Raises:
            DatasetError: if the group expression does not match the image id.
        """
        if self.group is None:
            return image
        match = re.search(self.group, image)
        if match is None or not match.groups():
            raise DatasetError(
                f"group expression {self.group!r} finds no first group in image id {image!r}"
            )
        return match.group(1)


def contiguous(classes: int, folds: int) -> list[tuple[int, ...]]:
    """Novel classes per fold in blocks, the larger blocks first: 11 in 4 gives 3, 3, 3, 2."""
    quotient, rest = divmod(classes, folds)
    starts = [fold * quotient + min(fold, rest) for fold in range(folds + 1)]
    return [tuple(range(a, b)) for a, b in itertools.pairwise(starts)]


def interleaved(classes: int, folds: int) -> list[tuple[int, ...]]:
    """Novel classes per fold as f, f+folds, f+2·folds, ... (COCO-20i)."""
    return [tuple(range(fold, classes, folds)) for fold in range(folds)]


def split(
    novel: Sequence[Sequence[int]],
    train: Sequence[Pair],
    test: Sequence[Pair],
) -> tuple[Fold, ...]:
    """Folds from the novel classes of each and the dataset's train and test pairs, in order."""
    every = sorted({index for classes in novel for index in classes})
    folds = []
    for number, classes in enumerate(novel):
        held_out = frozenset(classes)
        folds.append(
            Fold(
                index=number,
                base=tuple(index for index in every if index not in held_out),
                novel=tuple(classes),
                train=tuple(pair for pair in train if pair[1] not in held_out),
                test=tuple(pair for pair in test if pair[1] in held_out),
            )
        )
    return tuple(folds)


def without_novel_images(fold: Fold, areas: Mapping[str, Mapping[int, int]]) -> Fold:
    """The fold without training pairs of images that hold a novel class, however small (BAM).

    Args:
        fold: the fold.
        areas: pixels of each class, by image.
    """
    novel = frozenset(fold.novel)
    train = tuple(pair for pair in fold.train if novel.isdisjoint(areas[pair[0]]))
    return replace(fold, train=train)


def to_json(folds: FoldSet) -> str:
    """Canonical text of `folds.json`: byte-identical for equal values."""
    body: dict[str, Any] = {
        "lists": folds.lists,
        "query_order": folds.query_order,
        "published_episodes": folds.published_episodes,
        "group": folds.group,
        "novel_in_train": folds.novel_in_train,
        "notes": folds.notes,
        "folds": [_fold_body(fold) for fold in folds.folds],
    }
    if folds.of_shots:  # else absent: the text of other datasets stays what it was
        body["of_shots"] = {
            shots: [_fold_body(fold) for fold in of_shots]
            for shots, of_shots in folds.of_shots.items()
        }
    if folds.copies:
        body["copies"] = folds.copies
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"


def _fold_body(fold: Fold) -> dict[str, Any]:
    return {
        "fold": fold.index,
        "base": fold.base,
        "novel": fold.novel,
        "train": fold.train,
        "test": fold.test,
        "candidates": fold.candidates,
        # Absent, not null: the text of other datasets stays what it was.
        **({"crops": fold.crops} if fold.crops is not None else {}),
    }


def read_folds(path: Path) -> FoldSet:
    """Read a `folds.json`.

    Raises:
        DatasetError: if the file is not one.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return FoldSet(
            folds=tuple(_fold(entry) for entry in body["folds"]),
            query_order=body["query_order"],
            published_episodes=body["published_episodes"],
            group=body["group"],
            lists=body["lists"],
            novel_in_train=body["novel_in_train"],
            notes=tuple(body["notes"]),
            of_shots={
                int(shots): tuple(_fold(entry) for entry in of_shots)
                for shots, of_shots in body.get("of_shots", {}).items()
            },
            copies=dict(body.get("copies", {})),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # what damaged or foreign JSON raises
        raise DatasetError(
            f"{path} is not a fold file ({error!r}); prepare the dataset again"
        ) from None


def _fold(entry: dict[str, Any]) -> Fold:
    candidates, crops = entry["candidates"], entry.get("crops")
    return Fold(
        index=entry["fold"],
        base=tuple(entry["base"]),
        novel=tuple(entry["novel"]),
        train=tuple((image, index) for image, index in entry["train"]),
        test=tuple((image, index) for image, index in entry["test"]),
        candidates=candidates
        and {int(index): tuple(images) for index, images in candidates.items()},
        crops=crops and {int(index): tuple(map(tuple, images)) for index, images in crops.items()},
    )
