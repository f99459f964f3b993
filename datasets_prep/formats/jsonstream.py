"""Read the long arrays of a large JSON file one element at a time."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from datasets_prep.errors import DatasetError

_CHUNK = 1 << 22
_LARGEST = 1 << 26
_UNFINISHED = ("", *"0123456789.eE+-")
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a top-level array.

    Attributes:
        key: of the array.
        value: the parsed element.
        start: where its text begins in the file, in bytes.
        stop: where it ends.
    """

    key: str
    value: Any
    start: int
    stop: int


def elements(path: Path, keys: Collection[str]) -> Iterator[Element]:
    """Every element of the arrays under the given top-level keys, in the order of the file.

    Little more than one element is held in memory; COCO's files parse to several GB.

    Args:
        path: a file whose top level is an object.
        keys: of the wanted arrays; what is under other keys is passed over.

    Raises:
        DatasetError: naming the file and the place, if it cannot be read, is no such JSON, holds
            a wanted key twice or not at all, or something else than an array under it.
    """
    missing = set(keys)
    try:
        with path.open("rb") as file:
            text = _Text(file)
            text.expect("{")
            while text.peek() != "}":
                key = text.value()
                if not isinstance(key, str):
                    raise ValueError(f"a key is no text before byte {text.place:,}")
                text.expect(":")
                if key in missing:
                    missing.remove(key)
                    yield from _array(text, key)
                elif key in keys:
                    raise ValueError(f"{key!r} is there twice")
                else:
                    text.value()
                if text.peek() != "}":
                    text.expect(",")
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not a readable annotation file: {error}") from None
    if missing:
        raise DatasetError(f"{path} has no {', '.join(sorted(missing))}")


def _array(text: "_Text", key: str) -> Iterator[Element]:
    text.expect("[")
    while text.peek() != "]":
        start = text.place
        value = text.value()
        yield Element(key, value, start, text.place)
        if text.peek() != "]":
            text.expect(",")
    text.expect("]")


class _Text:
    """A window that moves over a file, one character a byte, so that places are exact."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        # A byte order mark is no part of the text, but of the places.
        begin = file.read(len(BOM_UTF8))
        marked = begin == BOM_UTF8
        self.window, self.at, self.before = begin.decode("latin-1"), len(begin) * marked, 0
        self.decode = json.JSONDecoder().raw_decode

    @property
    def place(self) -> int:
        """The current place in the file, in bytes."""
        return self.before + self.at

    def peek(self) -> str:
        """The next character that is no white space."""
        while True:
            match = _SPACE.match(self.window, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.window):
                return self.window[self.at]
            if not self._more():
                raise ValueError(f"it ends at byte {self.place:,}, before its end")

    def expect(self, character: str) -> None:
        """Pass over one character, which must be this one."""
        if self.peek() != character:
            raise ValueError(f"expected {character!r} at byte {self.place:,}")
        self.at += 1

    def value(self) -> Any:
        """Parse the next value and pass over it."""
        self.peek()
        while True:
            try:
                value, stop = self.decode(self.window, self.at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise ValueError(f"{error.msg} at byte {self.before + error.pos:,}") from None
                continue
            # A number at the window's end may go on behind it: of "1.5" it may hold "1.".
            if self.window[stop : stop + 1] not in _UNFINISHED or not self._more():
                break
        raw, self.at = self.window[self.at : stop], stop
        return value if raw.isascii() else json.loads(raw.encode("latin-1"))

    def _more(self) -> bool:
        """Drop what was passed over and read on; False where that is no use."""
        # What does not parse within so many bytes is damaged, not unfinished.
        chunk = b"" if len(self.window) - self.at > _LARGEST else self.file.read(_CHUNK)
        if chunk:
            kept = self.window[self.at :]
            self.before, self.at = self.place, 0
            self.window = kept + chunk.decode("latin-1")
        return bool(chunk)
