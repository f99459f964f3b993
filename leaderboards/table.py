"""Tables of GitHub's markdown."""

from collections.abc import Sequence

from tabulate import tabulate

_SIDES = {"l": "left", "r": "right"}


def table(head: Sequence[str], body: Sequence[Sequence[object]], align: str) -> str:
    """A table whose cells are text, not markup.

    Args:
        head: names of the columns.
        body: rows of cells.
        align: a letter for each column, `l` or `r`.
    """
    return tabulate(
        [[escape(str(cell)) for cell in row] for row in body],
        head,
        tablefmt="pipe",
        colalign=[_SIDES[letter] for letter in align] if body else None,
        disable_numparse=True,
    )


def escape(text: str) -> str:
    """Names and messages that cannot end a cell or become tags."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
