"""What a file says of classes: their names, and the numbers or colours that stand for them.

The forms are those that annotation tools write. Text has a line for each class:

    cat:220,40,40::             CVAT's `labelmap.txt`
    cat                         `classes.txt`; with a number before the name, that number's
    220 40 40 cat               CamVid's `label_colors.txt`; or `cat,220,40,40`, or
    0 cat 220 40 40             all three; `220 40 40` alone is the colour of the line's number

JSON or YAML has a list of names, of such colours, or of `{name, id, color}`; or an object from
names to numbers or colours (`{"cat": "#dc2828"}`), or from numbers to names; either may be under
`names`, `labels`, `classes` or `categories` (YOLO's `data.yaml`, nnU-Net's `dataset.json`, COCO).
Of a palette PNG, such as any label map of VOC, the palette counts; of Cityscapes' `labels.py` the
table of labels, in which `ignoreInEval` tells what is ignored.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, open_image
from datasets_prep.formats.yamltext import load_yaml
from datasets_prep.prepared.records import IGNORE

Colour = tuple[int, int, int]

# Where it is looked for, by what tools call it.
BESIDE = (
    "labelmap.txt",
    "classes.txt",
    "class_names.txt",
    "label_colors.txt",
    "class_dict.csv",
    "_classes.csv",
    "dataset.yaml",
    "data.yaml",
    "dataset.json",
)
BACKGROUND = {"background", "_background_"}
IGNORED = {"void", "ignore", "ignored", "unlabelled", "unlabeled", "__ignore__"}
_UNDER = ("names", "labels", "classes", "categories")
_SEP, _NUMBER = r"[\s,;:]+", r"(?P<number>\d+)"
_COLOUR = r"(?P<red>\d+)[\s,;]+(?P<green>\d+)[\s,;]+(?P<blue>\d+)"
_NAME = r"(?P<name>.*[^\W\d].*?)"
# The first that fits every line is the file's.
_FORMS = (
    rf"(?P<name>[^:]+):(?:{_COLOUR})?(?::.*)?",
    rf"{_COLOUR}{_SEP}{_NAME}",
    rf"(?:{_NUMBER}{_SEP})?{_NAME}{_SEP}{_COLOUR}",
    _COLOUR,
    rf"{_NUMBER}{_SEP}{_NAME}",
    r"(?P<name>.+)",
)
_CITYSCAPES = re.compile(
    r"Label\(\s*'(?P<name>[^']*)'\s*,\s*(?P<number>-?\d+)\s*,\s*-?\d+\s*,\s*'[^']*'\s*,"
    r"\s*\d+\s*,\s*\w+\s*,\s*(?P<ignored>True|False)\s*,\s*\(\s*" + _COLOUR
)


@dataclass(frozen=True)
class Meaning:
    """What stands for one class, the background, or what is ignored.

    Attributes:
        name: empty where only the number tells.
        number: in label maps; None where only its place in the file tells.
        colour: RGB, where the file has colours.
        ignored: whether such pixels count for nothing.
    """

    name: str
    number: int | None = None
    colour: Colour | None = None
    ignored: bool = False

    @property
    def background(self) -> bool:
        """Whether it is no object's."""
        return self.name.lower() in BACKGROUND


@dataclass(frozen=True)
class Legend:
    """All that one file says.

    Attributes:
        path: the file.
        meanings: of which no two have one name; by number where they have some.
    """

    path: Path
    meanings: tuple[Meaning, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that are classes, not background and nothing to ignore."""
        return tuple(m.name for m in self.meanings if m.name and not (m.background or m.ignored))

    @property
    def coloured(self) -> bool:
        """Whether it has the colours of all classes."""
        return all(m.colour for m in self.meanings if not m.ignored)

    @property
    def numbered(self) -> bool:
        """Whether it says which number each name has, 0 included."""
        numbers = [m.number for m in self.meanings if m.number is not None]
        if len(numbers) < len(self.meanings) or len({*numbers}) < len(numbers):
            return False
        # Tools that know no background count classes from 0, whatever label maps do.
        return any(m.background for m in self.meanings) or sorted(numbers) != [*range(len(numbers))]

    def named(self, classes: Sequence[str]) -> "Legend":
        """With names for what has only numbers: 0 is background, 255 ignored, i+1 class i."""
        if all(m.name for m in self.meanings):
            return self
        if not classes:
            raise DatasetError(
                f"{self.path} has colours without names: give them in the order of its numbers, "
                "--classes cat,dog"
            )
        known = dict(enumerate(("background", *classes))) | {IGNORE: "ignore"}
        kept = [replace(m, name=known[m.number]) for m in self.meanings if m.number in known]
        colours = [m.colour for m in kept if m.number != IGNORE]
        return Legend(
            self.path,
            tuple(
                replace(m, ignored=m.number == IGNORE)
                for m in kept
                if m.number != IGNORE or m.colour not in colours
            ),
        )

    def by_colour(self, classes: Sequence[str]) -> dict[int, int]:
        """Colour code -> label value: 0 background, i+1 class i, 255 ignored.

        Raises:
            DatasetError: if a class has no colour, a name in the file is no class, or two share
                a colour and are not both ignored.
        """
        named = self.named(classes).meanings
        found = [m.name for m in named if not (m.background or m.ignored)]
        if wrong := [*({*classes} - {*found}), *({*found} - {*classes})]:
            raise DatasetError(f"--colors and --classes do not agree about {min(wrong)!r}")
        table: dict[int, int] = {}
        names: dict[int, str] = {}
        for meaning in named:
            # Cityscapes gives number -1 to what no label map holds.
            if (meaning.number or 0) < 0:
                continue
            if meaning.colour is None:
                raise DatasetError(f"{self.path} has no colour of {meaning.name!r}")
            red, green, blue = meaning.colour
            code, value = red << 16 | green << 8 | blue, _value(meaning, classes)
            if table.setdefault(code, value) != value:
                raise DatasetError(f"{self.path} gives {names[code]} and {meaning.name} one colour")
            names[code] = meaning.name
        return table

    def by_number(self, classes: Sequence[str], first: int) -> dict[int, int]:
        """Number in a label map -> label value.

        Args:
            classes: names by class index.
            first: number of the first name, for a file without numbers; what has no name is
                background where it is 0, and else unknown.
        """
        places = enumerate(self.meanings, start=first)
        pairs = ((m.number if self.numbered else place, m) for place, m in places)
        return {0: 0} | {
            n: _value(m, classes) for n, m in pairs if n is not None and 0 <= n < 1 << 16
        }

    def first(self) -> int | None:
        """The number of the first name, where a background tells it: that has 0."""
        return next((-place for place, m in enumerate(self.meanings) if m.background), None)


def read_legend(path: Path) -> Legend:
    """What a file says of classes, in any form that is known.

    Raises:
        DatasetError: naming the file, if it is missing, of no known form, or ambiguous.
    """
    try:
        meanings = [_known(meaning) for meaning in _meanings(path)]
        if not meanings:
            raise ValueError("it is empty")
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, yaml.YAMLError,
            *UNREADABLE) as error:  # fmt: skip
        raise DatasetError(
            f"cannot read what {path} says of classes: {error}; a line is `cat` or "
            '`cat:220,40,40`, or a JSON file is {"cat": [220, 40, 40]}'
        ) from None
    names = [meaning.name for meaning in meanings if meaning.name]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DatasetError(f"{path} has the name {twice[0]} twice")
    return Legend(path, tuple(sorted(meanings, key=lambda m: -1 if m.number is None else m.number)))


def codes(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for each pixel of an RGB array."""
    red, green, blue = np.moveaxis(pixels[..., :3].astype(np.int32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int32)


def _value(meaning: Meaning, classes: Sequence[str]) -> int:
    if meaning.ignored:
        return IGNORE
    return 0 if meaning.background else classes.index(meaning.name) + 1


def _known(meaning: Meaning) -> Meaning:
    return replace(meaning, ignored=meaning.ignored or meaning.name.lower() in IGNORED)


def _meanings(path: Path) -> Iterator[Meaning]:
    if path.suffix.lower() in (".png", ".bmp", ".tif", ".tiff"):
        with open_image(path) as image:
            palette = image.getpalette("RGB") if image.mode == "P" else None
        yield from _nameless(np.reshape(palette or [], (-1, 3)).tolist())
        return
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        yield from _body(json.loads(text))
    elif path.suffix in (".yaml", ".yml"):
        yield from _body(load_yaml(text))
    elif path.suffix == ".py":
        for match in _CITYSCAPES.finditer(text):
            colour = _colour(match.group("red", "green", "blue"))
            yield Meaning(match["name"], int(match["number"]), colour, match["ignored"] == "True")
    else:
        yield from _lines(text, header=path.suffix == ".csv")


def _lines(text: str, header: bool) -> Iterator[Meaning]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if header and lines and not re.search(r"\d", lines[0]):
        lines = lines[1:]
    for form in _FORMS:
        matches = [match for line in lines if (match := re.fullmatch(form, line))]
        if len(matches) == len(lines):
            break
    for place, match in enumerate(matches):
        given = match.groupdict()
        name, number = (
            given.get("name", ""),
            given.get("number", None if "name" in given else place),
        )
        colour = _colour(match.group("red", "green", "blue")) if given.get("red") else None
        yield Meaning(name.strip(), None if number is None else int(number), colour)


def _body(body: Any) -> Iterator[Meaning]:
    if isinstance(body, dict):
        body = next((body[key] for key in _UNDER if key in body), body)
    if isinstance(body, dict):
        yield from (_pair(key, value) for key, value in body.items())
    elif all(isinstance(each, list) for each in body):
        yield from _nameless(body)
    else:
        yield from map(_element, body)


def _pair(key: Any, value: Any) -> Meaning:
    if type(value) is int:
        return Meaning(str(key), value)
    if isinstance(value, str) and re.fullmatch(r"\d+", str(key)):
        return Meaning(value, int(key))
    return Meaning(str(key), colour=_colour(value))


def _element(each: Any) -> Meaning:
    if isinstance(each, str):
        return Meaning(each)
    number, colour = each.get("id"), each.get("color")
    return Meaning(
        str(each["name"]),
        number if type(number) is int else None,
        None if colour is None else _colour(colour),
    )


def _nameless(colours: Sequence[Any]) -> Iterator[Meaning]:
    for number, colour in enumerate(colours):
        yield Meaning("", number, _colour(colour))


def _colour(parts: Any) -> Colour:
    if isinstance(parts, str) and re.fullmatch(r"#[0-9A-Fa-f]{6}", parts):
        parts = [int(parts[place : place + 2], 16) for place in (1, 3, 5)]
    red, green, blue = (int(part) for part in parts)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"{red},{green},{blue} is no colour")
    return red, green, blue
