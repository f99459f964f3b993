"""Rows that a change of results moves, as markdown."""

from collections.abc import Sequence

from leaderboards.committed.moves import Move, Place
from leaderboards.tables import wording
from leaderboards.tables.markdown import table


def moved_rows(moves: Sequence[Move]) -> str:
    """A table of before and after."""
    if not moves:
        return "No row moves."
    body = [[*move.setting, move.model, _said(move.before), _said(move.after)] for move in moves]
    head = ["Dataset", "Protocol", "Shots", "Tier", "Model", "mIoU, place before", "now"]
    return table(head, body, "llrllrr")


def _said(place: Place | None) -> str:
    return wording.NONE if place is None else f"{100 * place[0]:.1f}, {place[1]}"
