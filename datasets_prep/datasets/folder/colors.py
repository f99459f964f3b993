"""What the colours of label files mean: `labelmap.txt` as CVAT writes it, or JSON.

# label:color_rgb:parts:actions      {"cat": [220, 40, 40], "dog": "#28c83c"}
background:0,0,0::                   [{"name": "cat", "color": "#dc2828"}, ...]
cat:220,40,40::
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.errors import DatasetError

Colour = tuple[int, int, int]
_BACKGROUND = {"background", "_background_"}
_IGNORED = {"void", "ignore", "ignored", "unlabelled", "unlabeled", "__ignore__"}


def read_colors(path: Path) -> dict[str, Colour]:
    """The colour of each name, in the file's order.

    Raises:
        DatasetError: naming the file, if it is missing, of no known form, or ambiguous.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = list(_json(json.loads(text)) if path.suffix == ".json" else _lines(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"cannot read the colours in {path}: {error}; a line is `cat:220,40,40`, or a JSON "
            'file is {"cat": [220, 40, 40]}'
        ) from None
    names, colours = [name for name, _ in found], [colour for _, colour in found]
    if twice := [*(n for n in names if names.count(n) > 1)]:
        raise DatasetError(f"{path} has the name {twice[0]} twice")
    if shared := [name for name, colour in found if colours.count(colour) > 1]:
        raise DatasetError(f"{path} gives {' and '.join(shared)} one colour")
    return dict(found)


def class_names(colours: Iterable[str]) -> tuple[str, ...]:
    """The names that are classes, not background and nothing to ignore."""
    return tuple(name for name in colours if name.lower() not in _BACKGROUND | _IGNORED)


def values(colours: Mapping[str, Colour], classes: tuple[str, ...], ignore: int) -> dict[int, int]:
    """Colour code -> label value: 0 background, i+1 class i, `ignore`.

    Raises:
        DatasetError: if a class has no colour, or a name in the file is no class.
    """
    named = class_names(colours)
    if wrong := [*(n for n in classes if n not in named), *(n for n in named if n not in classes)]:
        raise DatasetError(f"--colors and --classes do not agree about {wrong[0]!r}")
    table = {}
    for name, (red, green, blue) in colours.items():
        value = classes.index(name) + 1 if name in classes else 0
        if name.lower() in _IGNORED:
            value = ignore
        table[red << 16 | green << 8 | blue] = value
    return table


def codes(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for each pixel of an RGB array."""
    red, green, blue = np.moveaxis(pixels[..., :3].astype(np.int32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int32)


def _lines(text: str) -> Iterable[tuple[str, Colour]]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, colour = line.split(":")[:2]
            yield name.strip(), _colour(colour.split(","))


def _json(body: Any) -> Iterable[tuple[str, Colour]]:
    pairs = body.items() if isinstance(body, dict) else ((e["name"], e["color"]) for e in body)
    for name, colour in pairs:
        if isinstance(colour, str) and re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
            colour = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        yield str(name), _colour(colour)


def _colour(parts: Any) -> Colour:
    red, green, blue = (int(part) for part in parts)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"{red},{green},{blue} is no colour")
    return red, green, blue
