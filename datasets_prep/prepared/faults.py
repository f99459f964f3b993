"""What is wrong with single images and annotations: refused all at once, or left out by name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from datasets_prep.errors import refuse
from datasets_prep.prepared.folds import Fold, FoldSet

A = TypeVar("A")


class Fault(NamedTuple):
    """Something wrong that can be left out.

    Attributes:
        name: of what is then left out, the same on every machine: an image's id, or what else
            tells an annotation that belongs to no image.
        reason: one line that names the file.
    """

    name: str
    reason: str


def passable(among: Iterable[str], without: Iterable[str]) -> str:
    """What `--skip-bad` would leave of some images; nothing to say where that is none."""
    remain = {*among}.difference(without)
    return (
        f"--skip-bad leaves these out by name; {len(remain):,} images would remain"
        if remain
        else ""
    )


class Faults:
    """Judges what is wrong: an error that names all of it, or what to leave out.

    An image is left out whole: labels without one of their objects would be wrong in silence.

    Attributes:
        skip: whether to leave out instead of stopping.
        left_out: by name, why.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.left_out: dict[str, str] = {}

    def settle(self, title: str, found: Iterable[Fault], among: Iterable[str]) -> None:
        """Remember what is to be left out, or stop.

        Args:
            title: of the message, what its lines have in common.
            found: everything wrong at this step.
            among: the images, by id, that this step has seen.

        Raises:
            DatasetError: naming all that is wrong, and how many images would remain without it,
                unless it is to be left out.
        """
        found = list(found)
        if not self.skip:
            reasons = list(dict.fromkeys(fault.reason for fault in found))
            refuse(title, reasons, mend=passable(among, (fault.name for fault in found)))
        for name, reason in found:
            self.left_out.setdefault(name, f"{title} {reason}")

    def once(
        self, items: Sequence[A], name: Callable[[A], str], file: Callable[[A], Path]
    ) -> list[A]:
        """The items whose names nobody shares; which of two is meant, no list can tell.

        Raises:
            DatasetError: naming the files that share a name, unless such are to be left out.
        """
        files: dict[str, list[Path]] = {}
        for item in items:
            files.setdefault(name(item), []).append(file(item))
        shared = {called: paths for called, paths in files.items() if len(paths) > 1}
        self.settle(
            "these files share a name:",
            [
                Fault(called, f"{' and '.join(map(str, paths))} are both called {called}")
                for called, paths in shared.items()
            ],
            files,
        )
        return [item for item in items if name(item) not in shared]

    def without(self, folds: FoldSet) -> FoldSet:
        """Published folds without the images that are left out, as pairs and as candidates."""
        if not self.left_out:
            return folds
        return replace(
            folds,
            folds=tuple(map(self._kept, folds.folds)),
            of_shots={shots: tuple(map(self._kept, of)) for shots, of in folds.of_shots.items()},
        )

    def _kept(self, fold: Fold) -> Fold:
        train, test = (
            tuple(pair for pair in pairs if pair[0] not in self.left_out)
            for pairs in (fold.train, fold.test)
        )
        candidates = fold.candidates and {
            index: tuple(image for image in images if image not in self.left_out)
            for index, images in fold.candidates.items()
        }
        return replace(fold, train=train, test=test, candidates=candidates)
