"""Which classes a folder has, and what stands for them in its label files."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from datasets_prep.builder import Workspace
from datasets_prep.datasets.folder.layout import Entry, mask_classes
from datasets_prep.datasets.folder.legend import BESIDE, Legend, codes, read_legend
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.datasets.folder.values import (
    TRANSPARENT,
    Scheme,
    class_numbers,
    colour_codes,
)
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, open_image
from datasets_prep.prepared.records import IGNORE
from datasets_prep.runtime.parallel import ordered_map

LABEL_CLASSES = 254  # of one byte, beside background and ignore
_SHOWN = 30


@dataclass(frozen=True)
class Naming:
    """The classes, in the order of their indices, and how label files are read.

    Attributes:
        classes: their names.
        scheme: what the values in label files mean.
        notes: where the names were found.
        typed: whether they stand in the order of their values because the user said so.
    """

    classes: tuple[str, ...]
    scheme: Scheme
    notes: tuple[str, ...] = ()
    typed: bool = False


def of_masks(options: FolderOptions) -> Naming:
    """What the folders below `masks/` are called.

    Raises:
        DatasetError: if there is none, or an option is not for masks.
    """
    classes = options.classes or mask_classes(options.folder)
    if not classes:
        raise DatasetError(f"{options.folder / 'masks'} has no folder of a class")
    if not options.background:
        raise DatasetError("--no-background is for labels/; masks always have a background")
    if options.colors is not None:
        raise DatasetError("--colors is for labels/; a mask has no class but its folder's")
    ignored = options.ignore or ()
    return Naming(
        classes, Scheme(len(classes), ignored, True, options.threshold, exif=options.exif)
    )


def of_labels(options: FolderOptions, entries: Sequence[Entry], workspace: Workspace) -> Naming:
    """What the options say of label maps, or else a file that lies beside them.

    Raises:
        DatasetError: if options do not agree, or nothing tells what the values mean: then with
            the values that there are, and a command to copy.
    """
    if options.threshold is not None:
        raise DatasetError("--threshold is for masks/CLASS/; labels/ hold class numbers")
    if options.colors is not None:
        legend = read_legend(options.colors).named(options.classes)
        return _coloured(options, legend, options.classes or legend.classes)
    if options.classes:
        return _typed(options)

    held = partial(_held, entries, workspace)
    legend = _beside(options, held)
    note = f"{len(legend.classes)} classes are named by {legend.path.name}"
    if legend.coloured and _in_its_colours(legend, entries):
        found = _coloured(options, legend, legend.classes)
    else:
        found = _numbered(options, legend, held)
    return Naming(found.classes, found.scheme, (note,))


def _coloured(options: FolderOptions, legend: Legend, classes: tuple[str, ...]) -> Naming:
    if not options.background or options.ignore is not None:
        raise DatasetError(
            f"{legend.path} says what is background and ignored, by its names: leave "
            f"{'--ignore' if options.background else '--no-background'} out"
        )
    table = legend.by_colour(classes)
    scheme = Scheme(len(classes), (IGNORE,), True, colours=table, exif=options.exif)
    return Naming(classes, scheme)


def _typed(options: FolderOptions) -> Naming:
    classes = options.classes
    _check_count(classes)
    ignore = (IGNORE,) if options.ignore is None else options.ignore
    first = 1 if options.background else 0
    if clash := [value for value in ignore if value < len(classes) + first]:
        meaning = classes[clash[0] - first] if clash[0] >= first else "background"
        raise DatasetError(f"--ignore {clash[0]} is also the label value of {meaning!r}")
    scheme = Scheme(len(classes), ignore, options.background, exif=options.exif)
    return Naming(classes, scheme, typed=True)


def _numbered(options: FolderOptions, legend: Legend, held: Callable[[], "_Held"]) -> Naming:
    classes = legend.classes
    _check_count(classes)
    first = legend.first()
    if first is None and not legend.numbered:
        first = _first_number(options, legend, held)
    elif not options.background:
        raise DatasetError(f"{legend.path} says what each value means: leave --no-background out")
    table = legend.by_number(classes, first or 0)
    ignore = (IGNORE,) if options.ignore is None else options.ignore
    ignore = tuple(value for value in ignore if table.get(value, IGNORE) == IGNORE)
    if wrong := {*(options.ignore or ())}.difference(ignore):
        raise DatasetError(
            f"--ignore {min(wrong)} is also a label value that {legend.path} gives a meaning"
        )
    scheme = Scheme(len(classes), ignore, True, numbers=table, exif=options.exif)
    return Naming(classes, scheme)


def _first_number(options: FolderOptions, legend: Legend, held: Callable[[], "_Held"]) -> int:
    """What the first name counts as: 1 where 0 is background, as far as the values tell."""
    if "background" not in options.model_fields_set:
        values, count, name = held().pixels, len(legend.meanings), legend.meanings[0].name
        if 0 in values and count not in values:
            raise DatasetError(
                f"{legend.path} has {count} names and none for a background; the labels have 0 "
                f"and no {count}: give --background if 0 is background and {name} 1, or "
                f"--no-background if {name} is 0"
            )
    return 1 if options.background else 0


def _check_count(classes: Sequence[str]) -> None:
    if len(classes) > LABEL_CLASSES:
        raise DatasetError(
            f"{len(classes)} classes are more than the {LABEL_CLASSES} of a label map: "
            "give masks/CLASS/NAME.png instead"
        )


def _beside(options: FolderOptions, held: Callable[[], "_Held"]) -> Legend:
    """What a file beside the images says; the first of those that agree.

    Raises:
        DatasetError: if there is none, or two name different classes.
    """
    found, said, folder = [], list[str](), options.folder
    for path in (folder / below / name for below in ("", "labels", "images") for name in BESIDE):
        if path.is_file():
            try:
                legend = read_legend(path)
                found += [legend] if legend.classes else []
            except DatasetError as error:
                said.append(str(error))
    for other in found[1:]:
        if other.classes != found[0].classes:
            raise DatasetError(
                f"{found[0].path} and {other.path} name different classes: remove one, or give "
                "--classes"
            )
    if not found:
        raise DatasetError("\n".join([*_unknown(options, held()), *said]))
    return next((legend for legend in found if legend.coloured), found[0])


def _in_its_colours(legend: Legend, entries: Sequence[Entry]) -> bool:
    """Whether label files have the colours of a legend rather than its numbers."""
    known = {*legend.by_colour(legend.classes)}
    for path in (entry.labels for entry in entries):
        try:
            with open_image(path or Path()) as image:
                mode, found = image.mode, {*np.unique(colour_codes(image))} - {TRANSPARENT}
        except UNREADABLE:
            continue
        # All black is background in any reading.
        if found - {0}:
            return found <= known or (mode != "P" and not _is_grey(found))
    return False


def _is_grey(found: Iterable[int]) -> bool:
    return all(code == code % 256 * 0x10101 for code in found)


@dataclass(frozen=True)
class _Held:
    """What label files hold: numbers, or codes of colours where one of them is in colour.

    Attributes:
        colour: whether they are codes.
        pixels: of each value.
        files: with each value.
        palette: of an index, the code of its colour in the first palette that has it.
    """

    colour: bool = False
    pixels: Counter[int] = field(default_factory=Counter)
    files: Counter[int] = field(default_factory=Counter)
    palette: dict[int, int] = field(default_factory=dict)


def _held(entries: Sequence[Entry], workspace: Workspace) -> _Held:
    numbers, colours = _Held(), _Held(colour=True)
    paths = [entry.labels for entry in entries if entry.labels is not None]
    for done, one in enumerate(ordered_map(_counts, paths, workspace.jobs), start=1):
        workspace.progress.update("counting label values", done, len(paths))
        every = colours if one.colour else numbers
        every.pixels.update(one.pixels)
        every.files.update([*one.pixels])
        for index, code in one.palette.items():
            every.palette.setdefault(index, code)
    return colours if colours.pixels else numbers


def _counts(path: Path) -> _Held:
    """What one file holds; nothing where it cannot be read, which is said later."""
    try:
        with open_image(path) as image:
            pixels, palette = np.asarray(image), image.getpalette("RGB") or []
            numbers = class_numbers(image.mode, pixels)
            found = colour_codes(image) if numbers is None else numbers
    except UNREADABLE:
        return _Held()
    values, counts = (each.tolist() for each in np.unique(found, return_counts=True))
    known = codes(np.reshape(np.array(palette, np.uint8), (-1, 3))).tolist()
    return _Held(
        numbers is None,
        Counter({v: n for v, n in zip(values, counts, strict=True) if v != TRANSPARENT}),
        palette={value: known[value] for value in values if value < len(known)},
    )


def _unknown(options: FolderOptions, held: _Held) -> Iterator[str]:
    """What there is to name, and how it is named."""
    yield (
        f"nothing says what the values in {options.folder / 'labels'} mean: give --classes, or put "
        f"beside the images one of {', '.join(BESIDE)}"
    )
    for value, count in sorted(held.pixels.items())[:_SHOWN]:
        colour = value if held.colour else held.palette.get(value)
        shown = "" if colour is None else f"#{colour:06x}: "
        shown = shown if held.colour else f"{value}: {shown}"
        yield f"  {shown}{count:,} pixels in {held.files[value]:,} files"
    if len(held.pixels) > _SHOWN:
        yield f"  and {len(held.pixels) - _SHOWN:,} more"
    if held.colour:
        found = sorted({*held.pixels} - {0})
        named = {f"class{n}": f"#{code:06x}" for n, code in enumerate(found, start=1)}
        every = ({"background": "#000000"} if 0 in held.pixels else {}) | named
        yield f"name the colours in a file, and give it with --colors: {json.dumps(every)}"
        return
    numbers = [value for value in held.pixels if value != IGNORE]
    most = max(numbers, default=0)
    if most == 0 and IGNORE in held.pixels:
        yield "masks of 0 and 255 belong into masks/CLASS/; or --classes NAME --ignore none for one"
    elif 0 < most <= LABEL_CLASSES:
        names = ",".join(f"class{number}" for number in range(1, most + 1))
        yield (
            f"name the values 1 to {most} in this order; 0 is background (if it is a class, name "
            "it first and add --no-background), 255 is ignored:"
        )
        folder = shlex.quote(str(options.folder))
        yield f"  bench prepare folder {folder} --name {options.name} --classes {names}"
