"""Tables of GitHub's markdown."""

from collections.abc import Sequence
from urllib.parse import quote

from tabulate import tabulate

_SIDES = {"l": "left", "r": "right"}


class Markup(str):
    """Text whose markup is meant."""

    __slots__ = ()


def table(head: Sequence[str], body: Sequence[Sequence[object]], align: str) -> str:
    """A table whose cells are text, not markup.

    Args:
        head: names of the columns.
        body: rows of cells; `Markup` is left as it is.
        align: a letter for each column, `l` or `r`.
    """
    return tabulate(
        [[c if isinstance(c, Markup) else escape(str(c)) for c in row] for row in body],
        head,
        tablefmt="pipe",
        colalign=[_SIDES[letter] for letter in align] if body else None,
        disable_numparse=True,
    )


def escape(text: str) -> str:
    """Names and messages that cannot end a line or a cell, nor become tags, links or images."""
    line = " ".join(text.splitlines())
    return line.replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")


def link(text: str, page: str) -> Markup:
    """A link to a page beside this one."""
    return Markup(f"[{escape(text)}]({quote(page)})")
