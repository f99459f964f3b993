"""What is in a user's files: sizes, label values, and every way in which they can be wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.datasets.folder.layout import Entry, Problem
from datasets_prep.datasets.folder.legend import codes
from datasets_prep.datasets.folder.outlines import Outlines
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import (
    HEADER,
    UNREADABLE,
    ImageFile,
    checked_image,
    is_deep,
    open_image,
)
from datasets_prep.prepared.records import IGNORE, areas

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Size = tuple[int, int]  # height, width
Palette = tuple[Path, tuple[tuple[int, tuple[int, ...]], ...]]  # file, (index, RGB) in use

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
_VALUES = 1 << 16
_VALUES_SHOWN = 5
_FRAMED = 0.9


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
        threshold: least value of foreground in masks; None where all but 0 is.
        colours: colour code -> label value, for files that are read by colour.
        numbers: number in a label map -> label value, where a file says more than `classes` and
            `background` can.
        exif: whether images are turned as EXIF says, None where sizes must tell.
    """

    classes: int
    ignore: tuple[int, ...]
    background: bool
    threshold: int | None = None
    colours: Mapping[int, int] | None = None
    numbers: Mapping[int, int] | None = None
    exif: Literal["turn", "ignore"] | None = None

    @cached_property
    def stored(self) -> NDArray[np.int16]:
        """Value in a label map -> value in a stored one, -1 where it means nothing."""
        table = np.full(_VALUES, -1, dtype=np.int16)
        if self.numbers is not None:
            table[list(self.numbers)] = list(self.numbers.values())
        else:
            first = 0 if self.background else 1
            table[: self.classes + 1 - first] = np.arange(first, self.classes + 1)
        table[list(self.ignore)] = IGNORE
        if self.classes == 1 and self.background and not self.ignore:
            table[255] = 1  # a mask that lies under labels/
        return table


@dataclass(frozen=True)
class Reading:
    """The labels of one image as its files have them.

    Attributes:
        problems: everything wrong with them; the rest is incomplete where there are any.
        labels: a label map (0 background, i+1 class i, 255 ignore), from `labels/`.
        masks: by class index, from `masks/` or outlines; they may overlap.
        ignored: with `masks`, the pixels that any of them marks as to be ignored.
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
            values, palette = _values(entry.labels, scheme, size)
            labels = _label_map(entry.labels, scheme, values)
            return Reading(labels=labels, palettes=palette)
        except _WrongFileError as error:
            return Reading((error.problem,))
    if entry.outlines is not None:
        return _outlined(entry.outlines, size)
    palettes: list[Palette] = []
    problems, masks = [], {}
    ignored: Mask | None = None
    for index, path in entry.masks:
        try:
            values, palette = _values(path, scheme, size)
            palettes += palette
            void = np.isin(values, scheme.ignore)
            masks[index] = _mask(path, values, void, scheme.threshold)
        except _WrongFileError as error:
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
        return Reading(masks=outlines.masks())
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
        shown = ", ".join(
            f"{value} ({count:,} px)"
            for value, count in zip(unknown[:_VALUES_SHOWN], counts, strict=False)
        )
        more = f" and {len(unknown) - _VALUES_SHOWN} more" if len(unknown) > _VALUES_SHOWN else ""
        raise _WrongFileError(
            "label value that is no class, background or --ignore", f"{path}: {shown}{more}"
        )
    return stored.astype(np.uint8)


def _mask(path: Path, values: NDArray[np.int32], void: Mask, threshold: int | None) -> Mask:
    if threshold is not None:
        return (values >= threshold) & ~void
    mask: Mask = (values != 0) & ~void
    foreground = np.unique(values[mask])
    if len(foreground) > 1:
        shown = ", ".join(map(str, foreground[:_VALUES_SHOWN]))
        raise _WrongFileError(
            "mask with more than one value beside 0 and --ignore (if its edges are soft, or it was "
            "a JPEG: --threshold 128)",
            f"{path}: {len(foreground)} values: {shown}{', ...' * (len(foreground) > 5)}",
        )
    return mask


def _values(
    path: Path, scheme: Scheme, size: Size | None
) -> tuple[NDArray[np.int32], tuple[Palette, ...]]:
    """The numbers in a label file, of a palette image the indices; and the palette's part in it.

    Where the scheme has colours these decide, else grey that was saved as colour is grey.
    """
    palette: tuple[Palette, ...] = ()
    try:
        with path.open("rb") as file:
            header = file.read(HEADER)
        with open_image(path) as image:
            mode = image.mode
            # Pillow keeps the upper 8 bits of colours: a class number would be 0.
            if mode not in _LABEL_MODES and mode != "F" and is_deep(image, header):
                kind = "label file in colour with more than 8 bits a channel (convert it)"
                raise _WrongFileError(kind, f"{path}: mode {mode}")
            by_colour = scheme.colours is not None
            pixels = np.asarray(image.convert("RGB") if by_colour else image)
            if mode == "P" and not by_colour:
                palette = (_palette(path, image, pixels),)
    except UNREADABLE as error:
        raise _WrongFileError("unreadable label file", f"{path}: {error}") from None
    if scheme.colours is not None:
        values = _by_colour(path, pixels, scheme.colours)
    else:
        numbers = class_numbers(mode, pixels)
        if numbers is None:
            raise _WrongFileError(
                "label file in colour (it must have one channel of class numbers, or a palette; "
                "what colours mean, a file for --colors can say)",
                f"{path}: mode {mode}",
            )
        values = numbers
    if size is not None and values.shape != size:
        raise _WrongFileError(
            "label file of another size than its image",
            f"{path}: {values.shape[1]}×{values.shape[0]}, the image is {size[1]}×{size[0]}",
        )
    if values.size and not 0 <= values.min() <= values.max() < _VALUES:
        raise _WrongFileError(
            f"label value outside 0..{_VALUES - 1}", f"{path}: {values.min()}..{values.max()}"
        )
    return values, palette


def _palette(path: Path, image: Image.Image, indices: NDArray[np.uint8]) -> Palette:
    colours = np.reshape(image.getpalette("RGB") or [], (-1, 3)).tolist()
    used = [index for index in np.unique(indices).tolist() if index < len(colours)]
    return path, tuple((index, tuple(colours[index])) for index in used)


def class_numbers(mode: str, pixels: NDArray[np.generic]) -> NDArray[np.int32] | None:
    """The one channel of a label file, also of RGB, RGBA or LA whose colours are equal and opaque.

    Rasters of geography have whole numbers as floats.

    Args:
        mode: Pillow's name for the kind of its pixels.
        pixels: as they are in the file, of a palette the indices.

    Returns:
        H×W, or None if the file is in colour.
    """
    if mode in _LABEL_MODES or (mode == "F" and _are_whole(pixels)):
        return pixels.astype(np.int32)
    alpha = mode in ("RGBA", "LA")
    if mode in ("RGB", "RGBA", "LA") and (not alpha or (pixels[..., -1] == 255).all()):
        colours = pixels[..., : pixels.shape[-1] - alpha]
        if (colours == colours[..., :1]).all():
            return colours[..., 0].astype(np.int32)
    return None


def _are_whole(pixels: NDArray[Any]) -> bool:
    return bool((np.abs(pixels) < _VALUES).all() and (pixels == np.rint(pixels)).all())


def _by_colour(
    path: Path, pixels: NDArray[np.uint8], table: Mapping[int, int]
) -> NDArray[np.int32]:
    found, inverse, counts = np.unique(codes(pixels), return_inverse=True, return_counts=True)
    pairs = zip(found.tolist(), counts, strict=True)
    unknown = [(code, count) for code, count in pairs if code not in table]
    if unknown:
        shown = ", ".join(f"#{code:06x} ({n:,} px)" for code, n in unknown[:_VALUES_SHOWN])
        more = f" and {len(unknown) - _VALUES_SHOWN} more" if len(unknown) > _VALUES_SHOWN else ""
        raise _WrongFileError(
            "colour that --colors does not have (what is no class: background or void)",
            f"{path}: {shown}{more}",
        )
    known = np.array([table[code] for code in found.tolist()], dtype=np.int32)
    return known[inverse].reshape(pixels.shape[:2])
