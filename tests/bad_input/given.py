"""What the rows of `docs/bad-input.md` are tried on: a function for each, under the row's words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and all that it printed."""

    code: int
    text: str


@dataclass(frozen=True)
class Desk:
    """Where a case makes its input and runs the command.

    Attributes:
        place: an empty folder.
        patch: undone when the case is through.
    """

    place: Path
    patch: pytest.MonkeyPatch

    def bench(self, *args: object) -> Ended:
        """Run the command with its data and results below `place`; a traceback fails the test."""
        self.patch.setenv("BENCH_DATA", str(self.place / "data"))
        self.patch.setenv("BENCH_RESULTS", str(self.place / "results"))
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.output)


CASES: dict[str, Callable[[Desk], Ended]] = {}


def given(row: str) -> Callable[[Callable[[Desk], Ended]], Callable[[Desk], Ended]]:
    """Make a function the case of the row whose first cell reads so."""

    def enter(case: Callable[[Desk], Ended]) -> Callable[[Desk], Ended]:
        assert row not in CASES, f"two cases for {row!r}"
        CASES[row] = case
        return case

    return enter
