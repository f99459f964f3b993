"""Tables of GitHub's markdown."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from tabulate import tabulate

BOARDS = "boards"  # below the overview: the folder of all other pages
_SIDES = {"l": "left", "r": "right"}
# As entities, for parsers differ over a pipe after two backslashes.
_SIGNS = {ord(sign): f"&#{ord(sign)};" for sign in "&\\|<[]"}
# GitHub makes links of bare addresses and `www.`, and of mail even where its @ is an entity.
_BARE = ((r"://", "&#58;//"), (r"(?i)(www)\.", r"\1&#46;"), (r"@(?=\S*\.)", "@&#8203;"))


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
    line = " ".join(text.splitlines()).translate(_SIGNS)
    for bare, broken in _BARE:
        line = re.sub(bare, broken, line)
    return line


def link(text: str, page: str) -> Markup:
    """A link to a page beside this one."""
    return Markup(f"[{escape(text)}]({quote(page)})")
