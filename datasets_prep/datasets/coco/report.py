"""Compare the pairs that the rendered labels give with the published lists."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from datasets_prep.builder import Areas, Splits
from datasets_prep.datasets.coco.classes import CLASSES
from datasets_prep.datasets.coco.lists import derived_folds
from datasets_prep.datasets.coco.release import MIN_AREA, ListCounts
from datasets_prep.datasets.coco.render import MaskMode
from datasets_prep.prepared.folds import FoldSet, Pair
from datasets_prep.prepared.list_report import (
    REPORT,
    Difference,
    Figure,
    difference,
    images_in,
    per_fold,
    write_report,
)
from datasets_prep.runtime.progress import Progress


def check_lists(
    folds: FoldSet,
    masks: MaskMode,
    areas: Areas,
    splits: Splits,
    counts: ListCounts | None,
    root: Path,
    progress: Progress,
) -> FoldSet:
    """Write `lists-report.txt` into `root`; returns the folds with notes of what differs.

    Args:
        folds: the lists in use; published ones are compared pair by pair.
        masks: how the labels were rendered.
        areas: pixels of each class, by image.
        splits: "train" or "test", by image.
        counts: published figures; None where there are none.
        root: the dataset's folder.
        progress: hears of what differs.
    """
    ours = derived_folds(areas, splits)
    shown = figures(folds, ours, splits, counts) if counts is not None else []
    differences = differing_pairs(folds, ours) if folds.lists == "published" else []
    empty = [pair for pair in _pairs(folds) if pair[1] not in areas[pair[0]]]
    unequal = sum(figure.ours != figure.published for figure in shown)
    notes = []
    if unequal:
        notes.append(f"masks {masks}: {unequal} of {len(shown)} published figures are not met")
    notes += [
        f"masks {masks}: {d.where}: {len(d.ours)} of at least {MIN_AREA} pixels are not in the "
        f"published lists, {len(d.published)} in the lists are smaller"
        for d in differences
        if d.ours or d.published
    ]
    if empty:
        notes.append(f"masks {masks}: {len(empty)} listed pairs have no pixel")
    for note in notes:
        progress.note(f"{note}; see {root / REPORT}")
    header = f"COCO-20i, masks {masks}, lists {folds.lists}, novel classes {folds.novel_in_train}"
    details = [
        *(_line("no pixel of", pair, areas) for pair in empty),
        *(line for each in differences for line in _lines(each, areas)),
    ]
    write_report(root / REPORT, [header, "", *map(str, shown), "", *notes, "", *details])
    return replace(folds, notes=(*folds.notes, *notes))


def figures(folds: FoldSet, ours: FoldSet, splits: Splits, counts: ListCounts) -> list[Figure]:
    """Every published figure beside that of the rendered labels.

    Args:
        folds: the lists in use, for what novel classes leave of the training images.
        ours: the lists that the labels give, with training pairs where there are any.
        splits: "train" or "test", by image.
        counts: the published figures.
    """
    parts = list(splits.values())
    test = [index for fold in ours.folds for _, index in fold.test]
    train = [index for _, index in {pair for fold in ours.folds for pair in fold.train}]
    result = [
        Figure("annotated test images", parts.count("test"), counts.images[1]),
        *per_fold("test pairs", (len(f.test) for f in ours.folds), counts.test_pairs),
        *per_fold("test images", (images_in(f.test) for f in ours.folds), counts.test_images),
        *_per_class("test", test, counts.test_per_class),
    ]
    if train:
        result += [
            Figure("annotated training images", parts.count("train"), counts.images[0]),
            *per_fold(
                "training images", (images_in(f.train) for f in ours.folds), counts.train_images
            ),
            *_per_class("training", train, counts.train_per_class),
        ]
    if train and folds.novel_in_train == "drop":
        dropped = (images_in(fold.train) for fold in folds.folds)
        result += per_fold("training images without novel classes", dropped, counts.dropped_images)
    return result


def differing_pairs(folds: FoldSet, ours: FoldSet) -> list[Difference]:
    """Pairs in which the published lists and those that the labels give differ."""
    result = [
        difference(f"test pairs of fold {mine.index}", mine.test, theirs.test)
        for mine, theirs in zip(ours.folds, folds.folds, strict=True)
    ]
    if folds.novel_in_train != "drop":
        mine, theirs = ({p for f in each.folds for p in f.train} for each in (ours, folds))
        result.append(difference("training pairs", sorted(mine), sorted(theirs)))
    return result


def _per_class(part: str, found: list[int], published: tuple[int, ...]) -> list[Figure]:
    return [
        Figure(f"{part} pairs of {name}", found.count(index), published[index])
        for index, name in enumerate(CLASSES)
    ]


def _pairs(folds: FoldSet) -> dict[Pair, None]:
    return dict.fromkeys(pair for fold in folds.folds for pair in (*fold.test, *fold.train))


def _lines(each: Difference, areas: Areas) -> Iterator[str]:
    for what, pairs in (("only here", each.ours), ("only published", each.published)):
        yield from (_line(f"{each.where}: {what}", pair, areas) for pair in pairs)


def _line(what: str, pair: Pair, areas: Areas) -> str:
    image, index = pair
    return f"{what}\t{image}\t{index} {CLASSES[index]}\t{areas[image].get(index, 0)} pixels"
