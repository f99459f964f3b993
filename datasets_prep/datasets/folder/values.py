"""The numbers in one label file: grey, or the indices of a palette, or what colours stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.datasets.folder.layout import Problem
from datasets_prep.datasets.folder.legend import codes
from datasets_prep.formats.imagefile import HEADER, UNREADABLE, is_deep, is_scaled, open_image
from datasets_prep.prepared.records import IGNORE

Size = tuple[int, int]  # height, width
Palette = tuple[Path, tuple[tuple[int, tuple[int, ...]], ...]]  # file, (index, RGB) in use

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
_VALUES = 1 << 16
_VALUES_SHOWN = 5
TRANSPARENT = -1  # in the place of a colour's code


class WrongFileError(Exception):
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


def read_values(
    path: Path, scheme: Scheme, size: Size | None
) -> tuple[NDArray[np.int32], tuple[Palette, ...]]:
    """The numbers in a label file, of a palette image the indices; and the palette's part in it.

    Where the scheme has colours these decide, and what is transparent is background; else grey that
    was saved as colour is grey.
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
                raise WrongFileError(kind, f"{path}: mode {mode}")
            by_colour = scheme.colours is not None
            if not by_colour and is_scaled(image, header):
                kind = "grey label file of 2 or 4 bits, whose numbers are spread (convert it)"
                raise WrongFileError(kind, str(path))
            pixels: NDArray[Any] = colour_codes(image) if by_colour else np.asarray(image)
            if mode == "P" and not by_colour:
                palette = (_palette(path, image, pixels),)
    except UNREADABLE as error:
        raise WrongFileError("unreadable label file", f"{path}: {error}") from None
    if scheme.colours is not None:
        values = _by_colour(path, pixels, scheme.colours)
    else:
        numbers = class_numbers(mode, pixels)
        if numbers is None:
            raise WrongFileError(
                "label file in colour (it must have one channel of class numbers, or a palette; "
                "what colours mean, a file for --colors can say)",
                f"{path}: mode {mode}",
            )
        values = numbers
    if size is not None and values.shape != size:
        raise WrongFileError(
            "label file of another size than its image",
            f"{path}: {values.shape[1]}×{values.shape[0]}, the image is {size[1]}×{size[0]}",
        )
    if values.size and not 0 <= values.min() <= values.max() < _VALUES:
        raise WrongFileError(
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


def colour_codes(image: Image.Image) -> NDArray[np.int32]:
    """The code of each pixel's colour, `TRANSPARENT` where there is none to see.

    Raises:
        ValueError: if a pixel is neither opaque nor transparent.
    """
    if not image.has_transparency_data:
        return codes(np.asarray(image.convert("RGB")))
    pixels = np.asarray(image.convert("RGBA"))
    alpha = pixels[..., 3]
    if not np.isin(alpha, (0, 255)).all():
        raise ValueError("it has pixels that are partly transparent: save it without soft edges")
    return np.where(alpha == 0, TRANSPARENT, codes(pixels))


def _by_colour(
    path: Path, pixels: NDArray[np.int32], table: Mapping[int, int]
) -> NDArray[np.int32]:
    table = {**table, TRANSPARENT: 0}
    found, inverse, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    pairs = zip(found.tolist(), counts, strict=True)
    unknown = [(code, count) for code, count in pairs if code not in table]
    if unknown:
        shown = listed([f"#{code:06x} ({count:,} px)" for code, count in unknown])
        raise WrongFileError(
            "colour that --colors does not have (what is no class: background or void)",
            f"{path}: {shown}",
        )
    known = np.array([table[code] for code in found.tolist()], dtype=np.int32)
    return known[inverse].reshape(pixels.shape)


def listed(items: Sequence[str]) -> str:
    """The first few of what was found, and how many more there are."""
    more = f" and {len(items) - _VALUES_SHOWN} more" if len(items) > _VALUES_SHOWN else ""
    return ", ".join(items[:_VALUES_SHOWN]) + more
