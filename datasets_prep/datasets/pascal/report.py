"""Compare fold lists with their publication: every figure, and every pair that differs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from datasets_prep.datasets.pascal.lists import ListFiles
from datasets_prep.datasets.pascal.release import CLASSES, ListCounts
from datasets_prep.datasets.pascal.rules import Sizes
from datasets_prep.prepared.folds import Fold, FoldSet, Pair
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
    files: ListFiles,
    areas: Sizes,
    hits: Sizes,
    counts: ListCounts | None,
    root: Path,
    progress: Progress,
) -> FoldSet:
    """Write `lists-report.txt` into `root`; returns the folds with notes of what differs.

    Figures that differ are said to `progress` too: with the real archives they should not.

    Args:
        folds: the lists to check.
        files: HSNet's lists, to compare pair by pair.
        areas: pixels of each class, by image.
        hits: grid hits of each class, by image.
        counts: published figures of these lists; None where there are none.
        root: the dataset's folder.
        progress: hears of what differs.
    """
    shown = figures(folds, files, counts) if counts is not None else []
    differences = differing_pairs(folds, files)
    empty = [
        pair
        for pair in dict.fromkeys(pair for f in folds.folds for pair in (*f.test, *f.train))
        if pair[1] not in areas[pair[0]]
    ]
    loud = [f"lists {folds.lists}: {f}" for f in shown if f.ours != f.published]
    if empty:
        loud.append(f"lists {folds.lists}: pairs whose class is not in the label map: {len(empty)}")
    for line in loud:
        progress.note(f"{line}; see {root / REPORT}")
    totals = [
        f"lists {folds.lists}: {d.where}: {len(d.ours)} not in HSNet's lists, "
        f"{len(d.published)} only there; named in {REPORT}"
        for d in differences
        if d.ours or d.published
    ]
    details = (
        *_pair_lines("class not in label map", empty, areas, hits),
        *(line for d in differences for line in _difference_lines(d, areas, hits)),
    )
    header = f"PASCAL-5i, lists {folds.lists}, novel classes in training: {folds.novel_in_train}"
    write_report(root / REPORT, [header, "", *map(str, shown), "", *totals, "", *details])
    return replace(folds, notes=(*folds.notes, *loud, *totals))


def figures(folds: FoldSet, files: ListFiles, counts: ListCounts) -> list[Figure]:
    """Every published figure beside ours."""
    result = [
        *per_fold("test pairs", (len(fold.test) for fold in folds.folds), counts.test_pairs),
        *per_fold(
            "test images", (images_in(fold.test) for fold in folds.folds), counts.test_images
        ),
    ]
    if counts.per_class is not None:
        test = [index for fold in folds.folds for _, index in fold.test]
        result += [
            Figure(f"test pairs of {name}", test.count(index), published)
            for index, (name, published) in enumerate(zip(CLASSES, counts.per_class, strict=True))
        ]
    if counts.shared_pairs is not None:
        hsnet = frozenset(files.pairs("val"))
        shared = (len(hsnet.intersection(fold.test)) for fold in folds.folds)
        result += per_fold("test pairs shared with HSNet", shared, counts.shared_pairs)
    dropped = folds.novel_in_train == "drop"
    fold_images = counts.dropped_images if dropped else counts.fold_images
    if fold_images is not None:
        trained = (images_in(fold.train) for fold in folds.folds)
        result += per_fold("training images", trained, fold_images)
    train = {pair for fold in folds.folds for pair in fold.train}
    if counts.train_pairs is not None and not dropped:
        result.append(Figure("training pairs", len(train), counts.train_pairs))
    if counts.train_images is not None and not dropped:
        result.append(Figure("training images", images_in(train), counts.train_images))
    return result


def differing_pairs(folds: FoldSet, files: ListFiles) -> list[Difference]:
    """Pairs in which derived lists and HSNet's differ; none for the published lists themselves.

    Training pairs are compared for OSLSM's rule only: PFENet trains on other images.
    """
    if folds.lists == "published":
        return []
    hsnet = files.pairs("val")
    result = [
        difference(f"test pairs of fold {f.index}", f.test, [p for p in hsnet if p[1] in f.novel])
        for f in folds.folds
    ]
    if folds.lists == "oslsm" and folds.novel_in_train != "drop":
        result.append(difference("training pairs", _train(folds.folds), files.pairs("trn")))
    return result


def _train(folds: Iterable[Fold]) -> list[Pair]:
    return sorted({pair for fold in folds for pair in fold.train})


def _difference_lines(difference: Difference, areas: Sizes, hits: Sizes) -> Iterator[str]:
    yield from _pair_lines(f"{difference.where}: only here", difference.ours, areas, hits)
    yield from _pair_lines(f"{difference.where}: only HSNet", difference.published, areas, hits)


def _pair_lines(what: str, pairs: Iterable[Pair], areas: Sizes, hits: Sizes) -> Iterator[str]:
    for image, index in pairs:
        area, hit = areas.get(image, {}).get(index, 0), hits.get(image, {}).get(index, 0)
        yield f"{what}\t{image}\t{index + 1} {CLASSES[index]}\t{hit} grid hits\t{area} pixels"
