"""One variable of a MATLAB file that somebody else made, read without trusting it.

scipy's reader, which is compiled, ends the whole process on some damage. This one knows what
datasets are made of: structs, cells, text and dense numbers; anything else in them is None.

Layout: MathWorks, MAT-File Format, level 5. A header of 128 bytes, then elements of type, size and
content; matrices are elements made of elements, packed ones are zlib streams of one element.
"""

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets_prep.errors import DatasetError

T = TypeVar("T")
_Order = Literal["<", ">"]

_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXTS = {1: "latin-1", 2: "latin-1", 16: "utf-8", 17: "utf-16"}
_UNITS, _MATRIX, _PACKED = 4, 14, 15  # MATLAB's characters are mostly of type 4, 16 bits each
_CELL, _STRUCT, _CHAR, _DENSE = 1, 2, 4, range(6, 16)
_COMPLEX = 0x0800
_LARGEST = 1 << 28  # bytes that an element may unpack to
_DEEPEST = 32


def read_mat(path: Path, variable: str, take: Callable[[Any], T], what: str) -> T:
    """What `take` finds in a variable of a `.mat` file of level 5.

    Args:
        path: the file.
        variable: its name; no other is read.
        take: gets the variable in the form that scipy's `loadmat` gives it: arrays of two or
            more dimensions, those of structs with a field of objects for each of theirs. What it
            raises over an unexpected form (ValueError, KeyError, IndexError, TypeError,
            AttributeError) is an error of the file.
        what: it finds, for messages.

    Raises:
        DatasetError: naming the file, if it is damaged or not of this form.
    """
    try:
        return take(_variable(path.read_bytes(), variable))
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        OSError,
        struct.error,
        zlib.error,
    ) as error:
        raise DatasetError(
            f"{path} is not a readable annotation with {what} ({type(error).__name__}: {error})"
        ) from None


def _variable(content: bytes, name: str) -> Any:
    """The variable, once all of the file's elements are whole and their checksums hold."""
    orders: dict[bytes, _Order] = {b"IM": "<", b"MI": ">"}
    order = orders.get(content[126:128])
    if order is None:
        raise ValueError("it is no MAT-file of level 5")
    found: list[_Elements] = []
    elements = _Elements(content, order, 128)
    while elements.more():
        kind, body = elements.next(padded=False)
        if kind == _PACKED:
            kind, body = _Elements(_unpacked(body), order).next(padded=False)
        if kind == _MATRIX and _head(_Elements(body, order)).name == name:
            found.append(_Elements(body, order))
    if not found:
        raise KeyError(name)
    return _matrix(found[0], depth=0)


def _unpacked(body: bytes) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(body, _LARGEST)
    if not stream.eof:
        raise ValueError("a packed element is torn, or unpacks to too much")
    return content


class _Elements:
    """The elements in some bytes, one by one."""

    def __init__(self, content: bytes, order: _Order, at: int = 0) -> None:
        self.content, self.order, self.at = content, order, at

    def more(self) -> bool:
        """Whether there is another element."""
        return self.at < len(self.content)

    def next(self, *, padded: bool = True) -> tuple[int, bytes]:
        """Type and content of the next element; those inside a matrix are padded to 8 bytes."""
        kind, size = struct.unpack_from(f"{self.order}II", self.content, self.at)
        start = self.at + 8
        if kind >> 16:  # a small one, with type, size and content in 8 bytes
            kind, size, start = kind & 0xFFFF, kind >> 16, self.at + 4
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
            self.at += 8
        else:
            self.at = start + size + (-size % 8 if padded else 0)
        if start + size > len(self.content):
            raise ValueError("its end is missing")
        return kind, self.content[start : start + size]

    def numbers(self) -> NDArray[Any]:
        """The next element, which must hold numbers: one dimension."""
        kind, body = self.next()
        return np.frombuffer(body, dtype=np.dtype(_NUMBERS[kind]).newbyteorder(self.order))


@dataclass(frozen=True)
class _Head:
    """What an array is: MATLAB's class, whether it is complex, its size and its name."""

    kind: int
    complex: bool
    shape: tuple[int, ...]
    name: str


def _head(elements: _Elements) -> _Head:
    flags = int(elements.numbers()[0])
    shape = tuple(int(side) for side in elements.numbers())
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"an array of size {shape}")
    _, name = elements.next()
    return _Head(flags & 0xFF, bool(flags & _COMPLEX), shape, name.decode("latin-1"))


def _matrix(elements: _Elements, depth: int) -> Any:
    """An array from its elements; None where no dataset has such ones."""
    if not elements.more():
        return np.zeros((0, 0))
    if depth > _DEEPEST:
        raise ValueError("arrays inside arrays without end")
    head = _head(elements)
    count = math.prod(head.shape)
    if head.kind == _STRUCT:
        return _structs(elements, head.shape, depth)
    if head.kind == _CELL:
        cells = np.empty(_fitting(count, elements), dtype=object)
        for place in range(count):
            cells[place] = _inner(elements, depth)
        return cells.reshape(head.shape, order="F")
    if head.kind == _CHAR:
        return _text(elements, head.shape)
    if head.kind not in _DENSE or head.complex:
        return None
    numbers = elements.numbers()
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers in an array of size {head.shape}")
    return numbers.reshape(head.shape, order="F")


def _structs(elements: _Elements, shape: tuple[int, ...], depth: int) -> NDArray[Any]:
    width = int(elements.numbers()[0])
    _, packed = elements.next()
    if width < 1 or len(packed) % width:
        raise ValueError("field names of no length")
    names = [
        packed[start : start + width].split(b"\0")[0].decode("latin-1")
        for start in range(0, len(packed), width)
    ]
    count = _fitting(math.prod(shape) * max(1, len(names)), elements) // max(1, len(names))
    structs = np.empty(count, dtype=[(name, object) for name in names])
    for place in range(count):
        for name in names:
            structs[place][name] = _inner(elements, depth)
    return structs.reshape(shape, order="F")


def _inner(elements: _Elements, depth: int) -> Any:
    kind, body = elements.next()
    if kind != _MATRIX:
        raise ValueError("an array's part is no array")
    return _matrix(_Elements(body, elements.order), depth + 1)


def _fitting(count: int, elements: _Elements) -> int:
    """The number of parts, if as many can follow: each takes 8 bytes at least."""
    if 8 * count > len(elements.content) - elements.at:
        raise ValueError(f"{count} parts in too few bytes")
    return count


def _text(elements: _Elements, shape: tuple[int, ...]) -> NDArray[np.str_]:
    """One text a row."""
    kind, body = elements.next()
    if kind == _UNITS:
        code = "utf-16-le" if elements.order == "<" else "utf-16-be"
    else:
        code = _TEXTS[kind]
    text = body.decode(code)
    rows, columns = shape[0], math.prod(shape[1:])
    if len(text) != rows * columns:
        raise ValueError(f"{len(text)} characters in a text of size {shape}")
    return np.array([text[row::rows] for row in range(rows)] if columns else [], dtype=np.str_)
