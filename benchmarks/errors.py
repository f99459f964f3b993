"""The one error of this package that is meant for the user, and a word that goes into it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BenchError(Exception):
    """Something about a run is wrong in a way its user can mend; the message says how."""


def first_wrong(error: "ValidationError", whole: str = "text") -> str:
    """The first field that is wrong, or `whole` where it is none, and what is wrong with it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"
