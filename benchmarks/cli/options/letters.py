"""Output that never fails a command, whatever letters a terminal, pipe or file takes."""

import codecs
import io
import sys

_NAME = "bench"
_STAND_INS = {
    "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-", "–": "-", "—": "-", "−": "-", "×": "x",
    "…": "...", "·": ".", "±": "+-", "≤": "<=", "≥": ">=", "→": "->", "²": "2", "°": " degrees",
}  # fmt: skip


def never_fail_to_print() -> None:
    """Replace on stdout and stderr the characters that their encodings lack."""
    codecs.register_error(_NAME, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(letter, "?") for letter in lacking), error.end
