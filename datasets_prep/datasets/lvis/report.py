"""Compare what the files hold, and the folds that come of it, with what is published."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets_prep.builder import Areas
from datasets_prep.datasets.lvis.index import Index
from datasets_prep.datasets.lvis.lists import FIXED, PER_SHOT, ClassRule, Lists
from datasets_prep.datasets.lvis.release import FOLDS, Counts
from datasets_prep.prepared.folds import Fold, FoldSet
from datasets_prep.prepared.list_report import REPORT, Figure, difference, write_report
from datasets_prep.runtime.progress import Progress


def write_lists_report(
    root: Path,
    index: Index,
    lists: Lists,
    derived: Lists,
    folds: FoldSet,
    rule: ClassRule,
    counts: Counts | None,
    progress: Progress,
) -> tuple[str, ...]:
    """Write `lists-report.txt` into `root`; returns what differs, also told to `progress`.

    Args:
        root: the dataset's folder.
        index: of the annotation file.
        lists: that the folds are made of.
        derived: those that the annotations give.
        folds: the folds.
        rule: which classes they test.
        counts: published figures; None where there are none.
        progress: hears of what differs.
    """
    shown = figures(index, folds, rule, counts) if counts is not None else []
    notes = [str(figure) for figure in shown if figure.ours != figure.published]
    if counts is not None and rule == "per-shot":
        notes += other_ends(index.classes, folds.folds, counts.ends)
    compared = ["the lists are derived from the annotations"]
    if folds.lists.startswith("published"):
        compared = [compare(lists, derived)]
    for note in notes:
        progress.note(f"{note}; see {root / REPORT}")
    header = f"LVIS-92i, lists {folds.lists}, classes {rule}"
    write_report(root / REPORT, [header, "", *map(str, shown), "", *compared, *notes])
    return tuple(notes)


def figures(index: Index, folds: FoldSet, rule: ClassRule, counts: Counts) -> list[Figure]:
    """Every published figure beside ours."""
    tested = {FIXED if rule == "fixed" else PER_SHOT: folds.folds, **folds.of_shots}
    return [
        Figure("images in the annotation file", index.images, counts.images),
        Figure("annotations", index.annotations, counts.annotations),
        Figure("categories", len(index.classes), counts.categories),
        *(
            Figure(f"classes a fold with more than {images} images", ours, counts.classes[images])
            for images, ours in ((images, len(of[0].novel)) for images, of in tested.items())
            if images in counts.classes
        ),
    ]


def other_ends(
    classes: tuple[str, ...], folds: Iterable[Fold], published: tuple[tuple[str, str], ...]
) -> list[str]:
    """A line for each fold whose first or last class is not the published one."""
    ours = [(classes[fold.novel[0]], classes[fold.novel[-1]]) for fold in folds]
    return [
        f"fold {number} goes from {mine[0]} to {mine[1]}, published is {theirs[0]} to {theirs[1]}"
        for number, (mine, theirs) in enumerate(zip(ours, published, strict=False))
        if mine != theirs
    ]


def compare(published: Lists, derived: Lists) -> str:
    """One line on how the published lists differ from those that the annotations give."""
    ours, theirs = (
        [(image, index) for index, images in lists.items() for image in images]
        for lists in (derived, published)
    )
    if ours == theirs:
        return "the published lists are those that the annotations give, in the same order"
    found = difference("pairs", ours, theirs)
    if found.ours or found.published:
        return (
            f"of the annotated pairs {len(found.ours):,} are not in the published lists; "
            f"{len(found.published):,} are there alone"
        )
    return "the published lists hold the pairs that the annotations give, in another order"


def without_pixels(folds: FoldSet, areas: Areas, classes: Sequence[str]) -> tuple[str, ...]:
    """A note on listed pairs whose mask is empty, where there are any."""
    every = [folds.folds, *folds.of_shots.values()]
    pairs = {pair for of in every for fold in of for pair in fold.test}
    empty = sorted(pair for pair in pairs if pair[0] in areas and pair[1] not in areas[pair[0]])
    if not empty:
        return ()
    named = ", ".join(f"{image} of {classes[index]!r}" for image, index in empty[:FOLDS])
    return (f"{len(empty):,} listed pairs have no pixel: {named}",)
