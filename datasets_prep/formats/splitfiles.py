"""Readers of the published fold lists (HSNet, commit 6b1bc12), from files alone.

pascal/val/fold0.txt    `2007_000033__01` a line: image, 1-based class
coco/val/fold0.pkl      pickled dict: 0-based class -> list of `val2014/NAME.jpg`
fss/test.txt            class names, one a line
"""

import hashlib
import io
import pickle
import pickletools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold, FoldSet, Pair, contiguous, interleaved, split

PASCAL_CLASSES = 20
COCO_CLASSES = 80
FSS_FIRST_CLASS = {"trn": 0, "val": 520, "test": 760}
FSS_IMAGES = tuple(str(number) for number in range(1, 11))


class _NoGlobals(pickle.Unpickler):
    """Reads plain containers only: a pickle that names any other global is refused."""

    def __init__(self, file: IO[bytes], as_number: Collection[str]) -> None:
        super().__init__(file)
        self.as_number = as_number

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in self.as_number:
            return int
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


_LINE = pickletools.UP_TO_NEWLINE
_WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_ARGUMENTS = {ord(op.code): op.arg.n if op.arg else 0 for op in pickletools.opcodes}
_TWO_LINES = (*pickle.GLOBAL, *pickle.INST)
_STOP, _PUT, _LONG_PUT = *pickle.STOP, *pickle.PUT, *pickle.LONG_BINPUT


def _check_memory(content: bytes) -> None:
    """Raise if a pickle names sizes or places beyond its own size: Python makes room for them."""
    at, size = 0, len(content)
    while at < size:
        code, start = content[at], at + 1
        length = _ARGUMENTS[code]
        if length == _LINE:
            at = content.index(b"\n", start) + 1
            if code in _TWO_LINES:
                at = content.index(b"\n", at) + 1
        elif length < 0:
            width = _WIDTHS[length]
            at = start + width + int.from_bytes(content[start : start + width], "little")
        else:
            at = start + length
        if code == _STOP:
            return
        if code in (_PUT, _LONG_PUT):
            place = content[start:at]
            number = int(place) if code == _PUT else int.from_bytes(place, "little")
            if number > size:
                raise ValueError(f"it has no {number:,} things")
    raise EOFError("its end is missing")


def read_plain_pickle(path: Path, as_number: Collection[str] = ()) -> Any:
    """Unpickle a file of plain dicts, lists, strings and numbers.

    Args:
        path: the file.
        as_number: enumerations, by module and name, whose members are read as their numbers;
            nothing of that name is imported.

    Raises:
        DatasetError: if the file is unreadable or asks for anything else.
    """
    content = _bytes(path)
    try:
        _check_memory(content)
        return _NoGlobals(io.BytesIO(content), as_number).load()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:  # what damaged pickles raise
        raise DatasetError(f"{path} is not a plain pickle: {error}") from None


def read_pascal(folder: Path) -> FoldSet:
    """PASCAL-5i from `folder/{trn,val}/fold{0..3}.txt`; `trn` may be absent.

    `trn/fold{k}.txt` lists fold k's own classes: fold f trains on the other three files.
    """
    parts = _parts(folder, "pascal")
    test = [pair for fold in range(4) for pair in pascal_pairs(parts / f"val/fold{fold}.txt")]
    train: list[Pair] = []
    if (parts / "trn").is_dir():
        train = [pair for f in range(4) for pair in pascal_pairs(parts / f"trn/fold{f}.txt")]
    return FoldSet(
        folds=split(contiguous(PASCAL_CLASSES, 4), train, test),
        query_order="walk",
        lists="published",
    )


def read_coco(folder: Path) -> FoldSet:
    """COCO-20i from `folder/{trn,val}/fold{0..3}.pkl`; `trn` may be absent."""
    parts = _parts(folder, "coco")
    val, trn = ([parts / part / f"fold{f}.pkl" for f in range(4)] for part in ("val", "trn"))
    return coco_folds(val, trn if (parts / "trn").is_dir() else None)


def coco_folds(val: Sequence[Path], trn: Sequence[Path] | None) -> FoldSet:
    """COCO-20i from its pickles by fold, wherever they lie; without `trn`, no training pairs.

    Raises:
        DatasetError: naming the file that is no such list.
    """
    folds = []
    for number, novel in enumerate(interleaved(COCO_CLASSES, 4)):
        test = _coco_images(val[number])
        train = {} if trn is None else _coco_images(trn[number])
        folds.append(
            Fold(
                index=number,
                base=tuple(c for c in range(COCO_CLASSES) if c not in novel),
                novel=novel,
                train=_flatten(train, sorted(train)),
                test=_flatten(test, novel),
            )
        )
    return FoldSet(folds=tuple(folds), query_order="draw", lists="published")


def read_fss(folder: Path) -> FoldSet:
    """The test split of FSS-1000 from `folder/test.txt`: 240 classes of ten images, one fold.

    The published loader walks the images sorted as strings and draws supports as numbers.
    """
    parts = _parts(folder, "fss")
    names = fss_names(parts / "test.txt")
    first = FSS_FIRST_CLASS["test"]
    novel = tuple(range(first, first + len(names)))
    by_class = list(zip(novel, names, strict=True))
    test = tuple((f"{name}/{i}", index) for index, name in by_class for i in sorted(FSS_IMAGES))
    candidates = {index: tuple(f"{name}/{i}" for i in FSS_IMAGES) for index, name in by_class}
    fold = Fold(0, base=(), novel=novel, train=(), test=test, candidates=candidates)
    return FoldSet(
        folds=(fold,), query_order="walk", published_episodes=len(test), lists="published"
    )


def fss_names(path: Path) -> list[str]:
    """The class names of one list of FSS-1000, sorted, as their indices go."""
    return sorted(line for line in _text(path).splitlines() if line)


READERS: Mapping[str, Callable[[Path], FoldSet]] = {
    "pascal": read_pascal,
    "coco": read_coco,
    "fss1000": read_fss,
}


def read_lists(dataset: str, folder: Path) -> FoldSet:
    """The published test lists of `dataset` from list files alone.

    Args:
        dataset: "pascal", "coco" or "fss1000".
        folder: the lists' own folder, or one above it (`splits/pascal`, `splits`).

    Raises:
        DatasetError: if the dataset has no published lists or a file is missing or damaged.
    """
    if dataset not in READERS:
        raise DatasetError(
            f"no published lists for {dataset!r}; there are some for {', '.join(READERS)}"
        )
    return READERS[dataset](folder)


def odd_entry(dataset: str, folder: Path, fold: int) -> str | None:
    """The first line of a fold's test list, or image of its pickle, that looks unlike the others.

    Letters and digits count as alike; where fewer than nine of ten look the same, nothing is odd.
    """
    name = "test.txt" if dataset == "fss1000" else f"val/fold{fold}.txt"
    path = _parts(folder, "fss" if dataset == "fss1000" else dataset) / name
    if dataset == "coco":
        path = path.with_suffix(".pkl")
        lines = [image for images in _coco_images(path).values() for image in images]
    else:
        lines = _text(path).splitlines()
    forms = [re.sub("[a-z]+", "a", re.sub("[0-9]", "0", line.lower())) for line in lines]
    ((usual, often),) = Counter(forms).most_common(1) or [("", 0)]
    for number, form in enumerate(forms, start=1):
        if form != usual and 10 * often >= 9 * len(forms):
            return f"{path}, line {number}: {lines[number - 1]!r}"
    return None


def _parts(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read the list {path}: {error.strerror}") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not a text list") from None


def pascal_pairs(path: Path, classes: int = PASCAL_CLASSES) -> list[Pair]:
    """(image, class) pairs of one list of `IMAGE__CLASS` lines, in order.

    Args:
        path: the list.
        classes: how many there are; lines number them from 1.

    Raises:
        DatasetError: if the file cannot be read, naming the first line that is no pair.
    """
    pairs = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        image, _, label = line.partition("__")
        if not image or not label.isdecimal() or not 1 <= int(label) <= classes:
            raise DatasetError(f"{path}, line {number}: expected IMAGE__CLASS, found {line!r}")
        pairs.append((image, int(label) - 1))
    return pairs


def _coco_images(path: Path) -> dict[int, tuple[str, ...]]:
    lists = read_plain_pickle(path)
    try:
        return {
            int(index): tuple(PurePosixPath(image).stem for image in images)
            for index, images in lists.items()
            if images
        }
    except (AttributeError, TypeError, ValueError):
        raise DatasetError(f"{path}: expected a dict of class -> list of image names") from None


def _flatten(lists: Mapping[int, tuple[str, ...]], classes: Iterable[int]) -> tuple[Pair, ...]:
    return tuple((image, index) for index in classes for image in lists.get(index, ()))


def lists_digest(folds: FoldSet) -> str:
    """sha256 over every fold's ordered test pairs: which lists these are."""
    lines = [
        f"{fold.index}\t{image}\t{index}\n" for fold in folds.folds for image, index in fold.test
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
