"""What a long step tells its caller; a command line draws bars from it."""

from typing import Protocol


class Progress(Protocol):
    """Hears how far a step has come. Called often: an implementation should be cheap."""

    def update(self, label: str, done: int, total: int | None) -> None:
        """`done` bytes of `total` (None: unknown) are through; `done` may fall on a new start."""

    def note(self, message: str) -> None:
        """One line worth reading, such as a mirror that is given up."""


class Silent:
    """A `Progress` that tells nobody."""

    def update(self, label: str, done: int, total: int | None) -> None:
        """Say nothing."""

    def note(self, message: str) -> None:
        """Say nothing."""


SILENT = Silent()
