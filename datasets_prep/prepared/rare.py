"""Classes with too few images to be tested: left out of the lists by name, the rest is kept."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold, FoldSet

_NAMED = 20


def without_rare(
    folds: FoldSet,
    classes: Sequence[str],
    shots: Sequence[int],
    min_images: int = 0,
    without: Collection[int] = (),
) -> FoldSet:
    """The folds without classes that cannot be tested; a fold of which nothing is left goes.

    A K-shot list tests a class only if it has `min_images` images, and K others beside every
    one of them; others are of other groups where there are groups. What a rare class of one fold
    is to the training lists of the others does not change; a class of `without` is in no list.

    Args:
        folds: of all classes.
        classes: names, by class index.
        shots: of the lists that will be drawn.
        min_images: in how many images a class must be.
        without: classes to leave out on purpose.

    Raises:
        DatasetError: naming the classes with their counts, if no class can be tested.
    """
    if not shots:
        return folds
    counts = {index: len(fold.images_of[index]) for fold in folds.folds for index in fold.novel}
    others = {index: _fewest_others(folds, index) for index in counts}
    few = {i for i, n in counts.items() if n < min_images and i not in without}
    gone = {*without, *few}
    short = {k: {i for i in counts if others[i] < k and i not in gone} for k in sorted({*shots})}

    def named(left_out: Collection[int], most: int = len(classes)) -> str:
        names = [f"{classes[i]} ({counts[i]:,})" for i in counts if i in left_out]
        more = f" and {len(names) - most:,} more" if len(names) > most else ""
        return ", ".join(names[:most]) + more

    first, *rest = short
    of_shots = {
        count: [_without(fold, {*gone, *short[count]}, without) for fold in folds.folds]
        for count in short
    }
    left = [fold.index for fold in of_shots[first] if fold.novel]
    if not left:
        least = max(min_images, first + 1)
        beside = " of other groups than its own" if folds.group is not None else ""
        raise DatasetError(
            f"no class can be tested: a {first}-shot list needs {least} images of a class, and "
            f"beside each of them {first}{beside}; there are {named(counts, _NAMED)}"
        )
    notes = [
        text
        for text, left_out in (
            ("left out by --without: {}", without),
            (f"left out of the lists, in fewer than {min_images} images: {{}}", few),
            *((_shots_note(folds, count), short[count]) for count in short),
        )
        if left_out
        for text in [text.format(named(left_out))]
    ]
    if len(left) < len(folds.folds):
        empty = [str(fold.index) for fold in folds.folds if fold.index not in left]
        notes.append(
            f"dropped, as no class is left of it: fold {', '.join(empty)} "
            f"of {len(folds.folds)}; the {len(left)} others are numbered anew"
        )
    kept = {count: _renumbered(of_shots[count], left) for count in of_shots}
    return replace(
        folds,
        folds=kept[first],
        of_shots={count: kept[count] for count in rest if kept[count] != kept[first]},
        notes=(*folds.notes, *notes),
    )


def _shots_note(folds: FoldSet, count: int) -> str:
    needed = f"{count + 1} images of a class"
    if folds.group is not None:
        needed += f", {count} of other groups beside each"
    return f"left out of the {count}-shot lists, which need {needed}: {{}}"


def _fewest_others(folds: FoldSet, index: int) -> int:
    """Different images of a class beside one of them and what is related to it, at least."""
    fold = next(fold for fold in folds.folds if index in fold.novel)
    groups: dict[str, set[str]] = {}  # of each different image
    for image in fold.images_of[index]:
        groups.setdefault(folds.copies.get(image, image), set()).add(folds.group_of(image))
    if folds.group is None:
        return max(len(groups) - 1, 0)
    lost = Counter(next(iter(own)) for own in groups.values() if len(own) == 1)
    spread = any(len(own) > 1 for own in groups.values())
    return max(len(groups) - max(lost.values(), default=0) - spread, 0)


def _without(fold: Fold, untested: Collection[int], untrained: Collection[int]) -> Fold:
    return replace(
        fold,
        base=tuple(index for index in fold.base if index not in untrained),
        novel=tuple(index for index in fold.novel if index not in untested),
        train=tuple(pair for pair in fold.train if pair[1] not in untrained),
        test=tuple(pair for pair in fold.test if pair[1] not in untested),
    )


def _renumbered(folds: Sequence[Fold], left: Sequence[int]) -> tuple[Fold, ...]:
    return tuple(replace(folds[old], index=new) for new, old in enumerate(left))
