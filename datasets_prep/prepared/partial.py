"""A dataset of the photographs that are at hand, or of label maps alone."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from datasets_prep.builder import Areas, BuilderOptions
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold, FoldSet, without_novel_images
from datasets_prep.prepared.list_report import REPORT, write_report

LEAST = 6  # photographs that a tested class needs: a query and five supports
LISTS = "partial"


class PhotographOptions(BuilderOptions):
    """Choices of what to do where photographs are missing."""

    partial: bool = Field(
        default=False,
        description="Use the photographs that are there; gives a dataset of its own name, whose "
        f"folds test the classes that have at least {LEAST} of them.",
    )
    images: bool = Field(
        default=True,
        description="Without images, label maps and lists alone: enough for models that read no "
        "pixels.",
    )

    @model_validator(mode="after")
    def _check_photographs(self) -> Self:
        if self.partial and not self.images:
            raise ValueError("--no-images needs no photographs: leave --partial out")
        return self


def named(name: str, options: PhotographOptions) -> str:
    """The name under which a dataset is stored: one in part never passes for the whole."""
    return f"{name}-partial" if options.partial else name


def partial_folds(folds: FoldSet, held: Areas, classes: Sequence[str], root: Path) -> FoldSet:
    """Published folds as far as their photographs are there.

    What is missing is noted for each fold, and written to `lists-report.txt` for each class. A
    class with fewer than `LEAST` photographs is no longer tested, and of a fold in which no class
    is left nothing is; neither changes what the other folds train on.

    Args:
        folds: the whole lists.
        held: pixels of each class, of the images whose photographs are there.
        classes: their names.
        root: the dataset's folder.

    Raises:
        DatasetError: if no class can be tested.
    """
    kept, notes, lines = [], [], []
    for fold in folds.folds:
        fold = replace(fold, train=tuple(pair for pair in fold.train if pair[0] in held))
        if folds.novel_in_train == "drop":
            fold = without_novel_images(fold, held)
        own, note, report = _in_part(fold, held, classes)
        kept.append(own)
        notes.append(note)
        lines += report
    if not any(fold.novel for fold in kept):
        raise DatasetError(
            "\n".join([f"no class has {LEAST} photographs to be tested with:", *notes])
        )
    write_report(root / REPORT, [*notes, "", "fold\tclass\tthere\tof", *lines])
    return replace(folds, folds=tuple(kept), lists=LISTS, notes=(*folds.notes, *notes))


def _in_part(
    fold: Fold, held: Collection[str], classes: Sequence[str]
) -> tuple[Fold, str, list[str]]:
    """The fold's part, a line about it, and one about each of its classes."""
    of = Counter(index for _, index in fold.test)
    there = Counter(index for image, index in fold.test if image in held)
    novel = tuple(index for index in fold.novel if there[index] >= LEAST)
    test = tuple(pair for pair in fold.test if pair[0] in held and pair[1] in novel)
    counts = {index: f"{classes[index]} {there[index]} of {of[index]}" for index in fold.novel}
    out = [counts[index] for index in fold.novel if index not in novel]
    note = (
        f"fold {fold.index}: {there.total():,} of {of.total():,} test pairs and "
        f"{len(fold.train):,} training pairs are there"
    )
    if novel:
        note += f"; tested: {', '.join(counts[index] for index in novel)}"
    else:
        note += "; the fold is left out"
    if out:
        note += f"; not tested, having fewer than {LEAST} photographs: {', '.join(out)}"
    report = [
        f"{fold.index}\t{classes[index]}\t{there[index]}\t{of[index]}"
        + ("" if index in novel else "\tleft out")
        for index in fold.novel
    ]
    return replace(fold, novel=novel, test=test), note, report
