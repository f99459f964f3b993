"""How much of a test the weights' training held: its classes, and where it is known its images."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from benchmarks import SAME_FOLDS, RunRecord, shared_classes, write_whole
from leaderboards.committed.files import read_beside
from leaderboards.statistics.scores import Row, Setting

LEAKS = "leaks.json"
_CLASSES = Path(__file__).parents[1] / "literature" / "classes.yaml"
Leaks = Mapping[str, Mapping[str, list[tuple[str, str, int, int]]]]


@dataclass(frozen=True)
class Training:
    """What is known of training sets.

    Attributes:
        novel: novel classes by dataset and fold, as results tell them.
        leaks: by seen and tested dataset, what `bench datasets leaks --note` found: part that was
            seen, part that is tested, images of that, and how many of them match.
    """

    novel: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    leaks: Leaks = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """Of one row: the test classes that training held.

    Attributes:
        classes: how many.
        of: how many are tested.
        whole: whether the classes of all that it was trained on are known.
        sources: how many are in each training set, by its name; None where that is not known.
        images: a line for each pair of parts that was compared.
    """

    classes: int
    of: int
    whole: bool
    sources: Mapping[str, int | None]
    images: tuple[str, ...]

    def __str__(self) -> str:
        """As in `80 of 80`, or `at least 12 of 80`."""
        return f"{'' if self.whole else 'at least '}{self.classes} of {self.of}"

    @property
    def detail(self) -> str:
        """The share of every training set."""
        return "; ".join(
            f"{name}: " + ("not known" if number is None else f"{number} of {self.of}")
            for name, number in self.sources.items()
        )


def training(settings: Iterable[Setting], boards: Path) -> Training:
    """What results and `leaks.json` say.

    Raises:
        BenchError: if the file is damaged.
    """
    novel = {
        (setting.dataset, fold): frozenset(record.setup.dataset.classes.values())
        for setting in settings
        if not setting.parts
        for fold, record in setting.records.items()
    }
    return Training(novel, read_leaks(boards))


def seen(row: Row, known: Training) -> Seen | None:
    """None where what the weights were trained on is not recorded, and may hold any class."""
    records = [result.record for score in row.folds.values() for result in score.results]
    totals: dict[str, int | None] = {}
    classes = of = 0
    whole = True
    for record in records:
        tested = tuple(record.setup.dataset.classes.values())
        entries = record.setup.model.trained_on or ()
        if not entries and record.setup.model.sees_test_classes != "no":
            return None
        met: set[str] = set()
        for entry in entries:
            own = _met(record, entry.dataset, entry.fold, tested, known)
            before = totals.get(entry.dataset, 0)
            totals[entry.dataset] = None if own is None or before is None else before + len(own)
            whole = whole and own is not None
            met |= own or set()
        classes += len(met)
        of += len(tested)
    return Seen(classes, of, whole, totals, tuple(dict.fromkeys(_images(records, known))))


def note_leaks(
    boards: Path, seen_name: str, tested: str, found: Iterable[tuple[str, str, int, int]]
) -> Path:
    """Add to what `read_leaks` reads."""
    path = boards / LEAKS
    body = {name: dict(own) for name, own in read_leaks(boards).items()}
    body.setdefault(seen_name, {})[tested] = list(found)
    write_whole(path, json.dumps(body, indent=1, sort_keys=True) + "\n")
    return path


def read_leaks(boards: Path) -> Leaks:
    """What `bench datasets leaks --note` has kept.

    Raises:
        BenchError: if the file is damaged.
    """
    return read_beside(
        boards / LEAKS,
        lambda body: {
            name: {
                tested: [(str(a), str(b), int(images), int(met)) for a, b, images, met in rows]
                for tested, rows in own.items()
            }
            for name, own in body.items()
        },
    )


def _met(
    record: RunRecord, source: str, fold: int | None, tested: tuple[str, ...], known: Training
) -> set[str] | None:
    """Those of the tested classes that are in a training set; None if its classes are not known."""
    own = SAME_FOLDS.get(record.setup.dataset.name, record.setup.dataset.name)
    if source == own:
        if fold is None:
            return set(tested)
        return set() if fold == record.setup.fold else None
    classes = _classes().get(source)
    if classes is not None and fold is not None:
        novel = known.novel.get((source, fold))
        classes = None if novel is None else classes - novel
    return None if classes is None else set(shared_classes(tested, classes))


def _images(records: Iterable[RunRecord], known: Training) -> Iterator[str]:
    for record in records:
        tested, fold = record.setup.dataset.name, record.setup.fold
        for entry in record.setup.model.trained_on or ():
            for seen_part, tested_part, images, met in known.leaks.get(entry.dataset, {}).get(
                tested, []
            ):
                if entry.dataset != tested or seen_part.endswith(f"fold {fold}"):
                    yield f"{met} of {images} images ({tested_part}) in {seen_part}"


@cache
def _classes() -> Mapping[str, frozenset[str]]:
    body = yaml.safe_load(_CLASSES.read_text(encoding="utf-8"))
    return {name: frozenset(own) for name, own in body.items()}
