"""What is in a user's files: sizes, label values, and every way in which they can be wrong."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.folder.layout import Entry, Problem
from datasets_prep.datasets.folder.outlines import VOID, Outlines
from datasets_prep.datasets.folder.values import (
    Palette,
    Scheme,
    Size,
    WrongFileError,
    listed,
    read_values,
)
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import (
    UNREADABLE,
    ImageFile,
    checked_image,
    open_image,
)
from datasets_prep.prepared.records import IGNORE, areas

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_FRAMED = 0.9


@dataclass(frozen=True)
class Reading:
    """The labels of one image as its files have them.

    Attributes:
        problems: everything wrong with them; the rest is incomplete where there are any.
        labels: a label map (0 background, i+1 class i, 255 ignore), from `labels/`.
        masks: by class index, from `masks/` or outlines; they may overlap.
        ignored: with `masks`, the pixels that any of them, or an outline, marks as to be ignored.
        palettes: of palette files, the colour of each index that they use.
    """

    problems: tuple[Problem, ...] = ()
    labels: Labels | None = None
    masks: dict[int, Mask] = field(default_factory=dict)
    ignored: Mask | None = None
    palettes: tuple[Palette, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What checking one image found.

    Attributes:
        problems: everything wrong with its files.
        image: its file, where it can be read.
        present: classes that its labels hold.
        overlap: whether masks of different classes share pixels.
        ignored: whether labels have pixels to be ignored.
        framed: classes whose mask holds nine tenths of the image's border.
        palettes: see `Reading`.
        turned: whether the labels are those of the image as its EXIF orientation turns it.
        asks: whether nothing tells if they are.
    """

    problems: tuple[Problem, ...]
    image: ImageFile | None = None
    present: frozenset[int] = frozenset()
    overlap: bool = False
    ignored: bool = False
    framed: frozenset[int] = frozenset()
    palettes: tuple[Palette, ...] = ()
    turned: bool = False
    asks: bool = False

    @property
    def size(self) -> Size:
        """Of the labels: the image's, as it is turned."""
        if self.image is None:
            return 0, 0
        height, width = self.image.height, self.image.width
        return (width, height) if self.turned and self.image.orientation > 4 else (height, width)


def summarise(entry: Entry, scheme: Scheme) -> Summary:
    """Decode an image and its labels, and say what they hold or what is wrong with them."""
    try:
        image = checked_image(entry.image)
    except DatasetError as error:
        problem = Problem("unreadable image", str(error))
        return Summary((problem, *read_labels(entry, scheme, None).problems))
    turned, asks = _orientation(entry, image, scheme)
    found = Summary((), image, turned=turned, asks=asks)
    size = found.size
    reading = read_labels(entry, scheme, size)
    problems = list(reading.problems)
    if image.deep:
        kind = "image with more than 8 bits a channel (convert it)"
        problems.append(Problem(kind, f"{entry.image}: mode {image.mode}"))
    if problems:
        return replace(found, problems=tuple(problems), asks=False)
    found = replace(found, palettes=reading.palettes)
    if reading.labels is not None:
        ignored = bool((reading.labels == IGNORE).any())
        return replace(found, present=frozenset(areas(reading.labels)), ignored=ignored)
    layers = np.zeros(size, dtype=np.int32)
    for mask in reading.masks.values():
        layers += mask
    return replace(
        found,
        present=frozenset(index for index, mask in reading.masks.items() if mask.any()),
        overlap=bool(layers.max() > 1),
        ignored=reading.ignored is not None and bool(reading.ignored.any()),
        framed=frozenset(index for index, mask in reading.masks.items() if _holds_border(mask)),
    )


def _orientation(entry: Entry, image: ImageFile, scheme: Scheme) -> tuple[bool, bool]:
    """Whether the labels are those of the turned image, and whether that must be asked."""
    if image.orientation == 1:
        return False, False
    if scheme.exif is not None:
        return scheme.exif == "turn", False
    if image.orientation < 5 or image.width == image.height:
        return False, True
    turned = image.width, image.height  # the height and width of the turned image
    if entry.outlines is not None:
        return entry.outlines.size == turned, False
    try:
        with open_image(entry.labels or entry.masks[0][1]) as labels:
            return labels.size == turned[::-1], False
    except UNREADABLE:
        return False, False


def _holds_border(mask: Mask) -> bool:
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return bool(border.mean() >= _FRAMED)


def read_labels(entry: Entry, scheme: Scheme, size: Size | None) -> Reading:
    """Read the label files of an image of `size` (None where it is not known)."""
    if entry.labels is not None:
        try:
            values, palette = read_values(entry.labels, scheme, size)
            labels = _label_map(entry.labels, scheme, values)
            return Reading(labels=labels, palettes=palette)
        except WrongFileError as error:
            return Reading((error.problem,))
    if entry.outlines is not None:
        return _outlined(entry.outlines, size)
    palettes: list[Palette] = []
    problems, masks = [], {}
    ignored: Mask | None = None
    for index, path in entry.masks:
        try:
            values, palette = read_values(path, scheme, size)
            palettes += palette
            void = np.isin(values, scheme.ignore)
            masks[index] = _mask(path, values, void, scheme.threshold)
        except WrongFileError as error:
            problems.append(error.problem)
            continue
        if size is not None:
            ignored = void if ignored is None else ignored | void
    return Reading(tuple(problems), masks=masks, ignored=ignored, palettes=tuple(palettes))


def _outlined(outlines: Outlines, size: Size | None) -> Reading:
    (height, width), path = outlines.size, outlines.path
    if size is not None and outlines.size != size:
        said = f"{outlines.entry.name}: {width}×{height}, the image is {size[1]}×{size[0]}"
        return Reading((Problem(f"another size in {path} than the image", said),))
    try:
        masks = outlines.masks()
        return Reading(ignored=masks.pop(VOID, None), masks=masks)
    except ValueError as error:
        return Reading((Problem("outline that cannot be read", str(error)),))


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


def _label_map(path: Path, scheme: Scheme, values: NDArray[np.int32]) -> Labels:
    stored = scheme.stored[values]
    if (stored < 0).any():
        unknown, counts = np.unique(values[stored < 0], return_counts=True)
        pairs = zip(unknown.tolist(), counts.tolist(), strict=True)
        shown = listed([f"{value} ({count:,} px)" for value, count in pairs])
        raise WrongFileError(
            "label value that is no class, background or --ignore", f"{path}: {shown}"
        )
    return stored.astype(np.uint8)


def _mask(path: Path, values: NDArray[np.int32], void: Mask, threshold: int | None) -> Mask:
    mask: Mask = (values != 0) & ~void
    foreground = np.unique(values[mask])
    if threshold is not None:
        if len(foreground) == 1 and foreground[0] < threshold:
            raise WrongFileError(
                "mask whose only value beside 0 is below --threshold (as in one of 1 bit: save all "
                "masks alike)",
                f"{path}: {foreground[0]}, the threshold is {threshold}",
            )
        return (values >= threshold) & ~void
    if len(foreground) > 1:
        shown = listed([str(value) for value in foreground.tolist()])
        raise WrongFileError(
            "mask with more than one value beside 0 and --ignore (if its edges are soft, or it was "
            "a JPEG: --threshold 128)",
            f"{path}: {len(foreground)} values: {shown}",
        )
    return mask
