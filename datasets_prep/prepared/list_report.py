"""Compare fold lists with their publication: figures, and pairs that only one of them has."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.prepared.folds import Pair
from datasets_prep.runtime.whole import write_whole

REPORT = "lists-report.txt"


@dataclass(frozen=True)
class Figure:
    """A number of ours beside the published one."""

    what: str
    ours: int
    published: int

    def __str__(self) -> str:
        verdict = "" if self.ours == self.published else ", DIFFERS"
        return f"{self.what}: {self.ours:,} (published {self.published:,}{verdict})"


@dataclass(frozen=True)
class Difference:
    """Pairs of one list that are only ours, or only published."""

    where: str
    ours: tuple[Pair, ...]
    published: tuple[Pair, ...]


def difference(where: str, ours: Iterable[Pair], published: Iterable[Pair]) -> Difference:
    """What differs between two lists, each side in its own order."""
    mine, theirs = dict.fromkeys(ours), dict.fromkeys(published)
    return Difference(
        where,
        tuple(pair for pair in mine if pair not in theirs),
        tuple(pair for pair in theirs if pair not in mine),
    )


def per_fold(what: str, ours: Iterable[int], published: Iterable[int]) -> list[Figure]:
    """One figure for each fold."""
    both = enumerate(zip(ours, published, strict=True))
    return [Figure(f"{what}, fold {fold}", *numbers) for fold, numbers in both]


def images_in(pairs: Iterable[Pair]) -> int:
    """Number of distinct images."""
    return len({image for image, _ in pairs})


def write_report(path: Path, lines: Iterable[str]) -> None:
    """Write the report, whole or not at all."""
    write_whole(path, "\n".join(lines).rstrip() + "\n")
