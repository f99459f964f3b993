"""The one error of this package that is meant for the user."""

from collections.abc import Sequence


class DatasetError(Exception):
    """Something about a dataset is wrong in a way its user can mend; the message says how."""


def refuse(title: str, wrong: Sequence[str], most: int = 50, mend: str = "") -> None:
    """Raise one error that names all that is wrong; where nothing is, do nothing.

    Args:
        title: what the lines below it have in common.
        wrong: one line each.
        most: how many to name before "and N more".
        mend: a last line, if there is something to do about all of it.

    Raises:
        DatasetError: if anything is wrong.
    """
    if wrong:
        more = [f"and {len(wrong) - most:,} more"] if len(wrong) > most else []
        last = [mend] if mend else []
        raise DatasetError("\n".join([title, *wrong[:most], *more, *last]))
