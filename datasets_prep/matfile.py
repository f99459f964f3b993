"""One variable of a MATLAB file that somebody else made, read without trusting it."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasets_prep.errors import DatasetError

T = TypeVar("T")

_COMPRESSED = 15


def read_mat(path: Path, variable: str, take: Callable[[Any], T], what: str) -> T:
    """What `take` finds in a variable of a `.mat` file of level 5.

    Args:
        path: the file.
        variable: its name; no other is read.
        take: gets the variable as scipy gives it; what it raises over an unexpected form
            (ValueError, KeyError, IndexError, TypeError, AttributeError) is an error of the file.
        what: it finds, for messages.

    Raises:
        DatasetError: naming the file, if it is damaged or not of this form.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = path.read_bytes()
        _check_whole(content)
        return take(loadmat(io.BytesIO(content), variable_names=[variable])[variable])
    except (
        MatReadError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        NotImplementedError,
        OverflowError,
        MemoryError,  # a damaged size field may ask for any buffer
        OSError,
        struct.error,
        zlib.error,
    ) as error:
        raise DatasetError(
            f"{path} is not a readable annotation with {what} ({type(error).__name__}: {error})"
        ) from None


def _check_whole(content: bytes) -> None:
    """Raise if a `.mat` is torn or its checksums fail; scipy's reader crashes on some of those.

    Layout: MathWorks, MAT-File Format, level 5: a header of 128 bytes, then elements of type,
    size and content, which are zlib streams (type 15) as MATLAB writes them.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("it is no MAT-file of level 5")
    at = 128
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        at += 8 + size
        if at > len(content):
            raise ValueError("its end is missing")
        if kind == _COMPRESSED:
            zlib.decompress(content[at - size : at])
