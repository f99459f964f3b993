"""What is in a user's files: sizes, label values, and every way in which they can be wrong."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.folder.layout import Entry, Problem
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, ImageFile, checked_image, open_image
from datasets_prep.prepared.records import IGNORE, areas

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Size = tuple[int, int]  # height, width

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
_VALUES = 1 << 16
_VALUES_SHOWN = 5


class _WrongFileError(Exception):
    """One file is not what it should be."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.problem = Problem(kind, detail)


@dataclass(frozen=True)
class Scheme:
    """What the values in label files mean.

    Attributes:
        classes: number of classes.
        ignore: values of pixels that count for nothing.
        background: label maps have 0 for background and i+1 for class i, else i for class i.
    """

    classes: int
    ignore: tuple[int, ...]
    background: bool

    @cached_property
    def stored(self) -> NDArray[np.int16]:
        """Value in a label map -> value in a stored one, -1 where it means nothing."""
        table = np.full(_VALUES, -1, dtype=np.int16)
        first = 0 if self.background else 1
        table[: self.classes + 1 - first] = np.arange(first, self.classes + 1)
        table[list(self.ignore)] = IGNORE
        return table


@dataclass(frozen=True)
class Reading:
    """The labels of one image as its files have them.

    Attributes:
        problems: everything wrong with them; the rest is incomplete where there are any.
        labels: a label map (0 background, i+1 class i, 255 ignore), from `labels/`.
        masks: by class index, from `masks/`; they may overlap.
        ignored: with `masks`, the pixels that any of them marks as to be ignored.
    """

    problems: tuple[Problem, ...] = ()
    labels: Labels | None = None
    masks: dict[int, Mask] = field(default_factory=dict)
    ignored: Mask | None = None


@dataclass(frozen=True)
class Summary:
    """What checking one image found.

    Attributes:
        problems: everything wrong with its files.
        image: its file, where it can be read.
        present: classes that its labels hold.
        overlap: whether masks of different classes share pixels.
        ignored: whether masks have pixels to be ignored.
    """

    problems: tuple[Problem, ...]
    image: ImageFile | None = None
    present: frozenset[int] = frozenset()
    overlap: bool = False
    ignored: bool = False


def summarise(entry: Entry, scheme: Scheme) -> Summary:
    """Decode an image and its labels, and say what they hold or what is wrong with them."""
    try:
        image = checked_image(entry.image)
    except DatasetError as error:
        problem = Problem("unreadable image", str(error))
        return Summary((problem, *read_labels(entry, scheme, None).problems))
    size = image.height, image.width
    reading = read_labels(entry, scheme, size)
    problems = list(reading.problems)
    if image.mode.startswith(("I", "F")):
        kind = "image with more than 8 bits a channel (convert it)"
        problems.append(Problem(kind, f"{entry.image}: mode {image.mode}"))
    if problems:
        return Summary(tuple(problems), image)
    if reading.labels is not None:
        return Summary((), image, present=frozenset(areas(reading.labels)))
    layers = np.zeros(size, dtype=np.int32)
    for mask in reading.masks.values():
        layers += mask
    return Summary(
        problems=(),
        image=image,
        present=frozenset(index for index, mask in reading.masks.items() if mask.any()),
        overlap=bool(layers.max() > 1),
        ignored=reading.ignored is not None and bool(reading.ignored.any()),
    )


def read_labels(entry: Entry, scheme: Scheme, size: Size | None) -> Reading:
    """Read the label files of an image of `size` (None where it is not known)."""
    if entry.labels is not None:
        try:
            return Reading(labels=_label_map(entry.labels, scheme, size))
        except _WrongFileError as error:
            return Reading((error.problem,))
    problems, masks = [], {}
    ignored: Mask | None = None
    for index, path in entry.masks:
        try:
            values = _values(path, size)
            void = np.isin(values, scheme.ignore)
            masks[index] = _mask(path, values, void)
        except _WrongFileError as error:
            problems.append(error.problem)
            continue
        if size is not None:
            ignored = void if ignored is None else ignored | void
    return Reading(tuple(problems), masks=masks, ignored=ignored)


def flat(reading: Reading) -> Labels:
    """The label map of a reading whose masks do not overlap."""
    if reading.labels is not None:
        return reading.labels
    height, width = next(iter(reading.masks.values())).shape
    labels = np.zeros((height, width), dtype=np.uint8)
    if reading.ignored is not None:
        labels[reading.ignored] = IGNORE
    for index, mask in reading.masks.items():
        labels[mask] = index + 1
    return labels


def _label_map(path: Path, scheme: Scheme, size: Size | None) -> Labels:
    values = _values(path, size)
    stored = scheme.stored[values]
    if (stored < 0).any():
        unknown, counts = np.unique(values[stored < 0], return_counts=True)
        shown = ", ".join(
            f"{value} ({count:,} px)"
            for value, count in zip(unknown[:_VALUES_SHOWN], counts, strict=False)
        )
        more = f" and {len(unknown) - _VALUES_SHOWN} more" if len(unknown) > _VALUES_SHOWN else ""
        raise _WrongFileError(
            "label value that is no class, background or --ignore", f"{path}: {shown}{more}"
        )
    return stored.astype(np.uint8)


def _mask(path: Path, values: NDArray[np.int32], void: Mask) -> Mask:
    mask: Mask = (values != 0) & ~void
    foreground = np.unique(values[mask])
    if len(foreground) > 1:
        shown = ", ".join(map(str, foreground[:_VALUES_SHOWN]))
        raise _WrongFileError(
            "mask with more than one value beside 0 and --ignore",
            f"{path}: {len(foreground)} values: {shown}{', ...' * (len(foreground) > 5)}",
        )
    return mask


def _values(path: Path, size: Size | None) -> NDArray[np.int32]:
    """The numbers in a label file: of a palette image the indices, not the colours."""
    try:
        with open_image(path) as image:
            mode = image.mode
            values = np.asarray(image).astype(np.int32) if mode in _LABEL_MODES else None
    except UNREADABLE as error:
        raise _WrongFileError("unreadable label file", f"{path}: {error}") from None
    if values is None:
        raise _WrongFileError(
            "label file in colour (it must have one channel of class numbers, or a palette)",
            f"{path}: mode {mode}",
        )
    if size is not None and values.shape != size:
        raise _WrongFileError(
            "label file of another size than its image",
            f"{path}: {values.shape[1]}×{values.shape[0]}, the image is {size[1]}×{size[0]}",
        )
    if values.size and not 0 <= values.min() <= values.max() < _VALUES:
        raise _WrongFileError(
            f"label value outside 0..{_VALUES - 1}", f"{path}: {values.min()}..{values.max()}"
        )
    return values
