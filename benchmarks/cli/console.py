"""What the commands print: tables on stdout; progress and notes on stderr.

A terminal gets bars, anything else a line now and then, `--quiet` nothing.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from datasets_prep.runtime.progress import SILENT, Progress

_PLAIN_WIDTH = 10_000
_RECORDS = 2  # a table so many times wider than the terminal is taken apart
_LEAST, _BETWEEN = 8, 3  # characters of a column that may be folded, and between two columns
_MEGABYTE = 10**6
_FIRST_LINE, _NEXT_LINE = 2.0, 10.0  # seconds after which a step without a terminal says so
_REFRESH = 0.05  # seconds between two drawings of a bar


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
) -> None:
    """Print a table on stdout.

    Outside a terminal its lines are never wrapped. In a terminal that is far too narrow for it, or
    would cut numbers apart, each row becomes a table of its own.

    Args:
        headers: names of the columns.
        rows: cells, printed with `str`.
        title: a line above the table.
        right: headers of the columns that hold numbers.
    """
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, header in enumerate(headers):
        justify: Literal["left", "right"] = "right" if header in right else "left"
        own = index == 0 or header in right
        table.add_column(header, justify=justify, overflow="fold", no_wrap=own)
    texts = [[str(cell) for cell in row] for row in rows]
    for row in texts:
        table.add_row(*map(escape, row))
    console = Console(file=sys.stdout)
    wide = Console(file=io.StringIO(), width=_PLAIN_WIDTH)
    if not console.is_terminal:
        with wide.capture() as captured:
            wide.print(table)
        print("\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip()))
        return
    widths = [max(map(cell_len, column)) for column in zip(headers, *texts, strict=True)]
    whole = [column.no_wrap for column in table.columns]
    least = sum(w if own else min(w, _LEAST) for w, own in zip(widths, whole, strict=True))
    least += _BETWEEN * len(headers)
    if least > console.width or wide.measure(table).maximum > _RECORDS * console.width:
        for row in texts:
            console.print(_record(headers, row))
    else:
        console.print(table)


def _record(headers: Sequence[str], row: Sequence[str]) -> Table:
    """One row as lines of name and value, for a table too wide to be read."""
    record = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    record.add_column(headers[0], no_wrap=True)
    record.add_column(escape(row[0]))
    for header, cell in zip(headers[1:], row[1:], strict=True):
        record.add_row(header, escape(cell))
    return record


@dataclass
class Pace:
    """How far one step is, and how fast it goes."""

    label: str
    begin: float
    first: int
    done: int
    total: int | None
    shown: float = float("-inf")

    def text(self, now: float) -> str:
        """`340/1000  52.1/s  0:00:12 left`; bytes in megabytes where there are many."""
        unit, scale = ("MB", _MEGABYTE) if (self.total or self.done) > _MEGABYTE else ("", 1)
        rate = (self.done - self.first) / max(now - self.begin, 1e-9)
        parts = [f"{self.done / scale:.0f}" + (f"/{self.total / scale:.0f}" if self.total else "")]
        parts[0] += unit and f" {unit}"
        if self.done > self.first:
            parts.append(f"{rate / scale:.3g}{unit and f' {unit}'}/s")
            if self.total is not None:
                left = timedelta(seconds=round(max(self.total - self.done, 0) / rate))
                parts.append(f"{left} left")
        return "  ".join(parts)


class _Paces:
    """The pace of every step so far."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def at(self, label: str, done: int, total: int | None, now: float) -> Pace:
        """The pace of `label`, which has come to `done`; a fall in `done` is a new start."""
        pace = self._paces.get(label)
        if pace is None or done < pace.done:
            pace = self._paces[label] = Pace(label, now, done, done, total)
        pace.done, pace.total = done, total
        return pace


class Lines:
    """A `Progress` for files and pipes: a line every ten seconds for what takes over two."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._paces = _Paces()

    def update(self, label: str, done: int, total: int | None) -> None:
        """Print a line if it is time."""
        now = self._clock()
        pace = self._paces.at(label, done, total, now)
        if now >= max(pace.shown + _NEXT_LINE, pace.begin + _FIRST_LINE):
            pace.shown = now
            self.note(f"{label}: {pace.text(now)}")

    def note(self, message: str) -> None:
        """Print one line."""
        print(message, file=self._stream, flush=True)


class Bars:
    """A `Progress` for terminals: a bar for every step, gone when all is over."""

    def __init__(self, bars: RichProgress, clock: Callable[[], float] = time.monotonic) -> None:
        self._bars = bars
        self._clock = clock
        self._paces = _Paces()
        self._tasks: dict[str, TaskID] = {}

    def update(self, label: str, done: int, total: int | None) -> None:
        """Move the bar."""
        now = self._clock()
        pace = self._paces.at(label, done, total, now)
        if done != total and now < pace.shown + _REFRESH:
            return
        pace.shown = now
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(escape(label), total=total, pace="")
        task = self._tasks[label]
        self._bars.update(task, completed=done, total=total, pace=pace.text(now))
        if done == total:
            self._bars.update(task, visible=False)

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self._bars.console.print(escape(message), highlight=False)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Something that shows on stderr how far long steps have come."""
    console = Console(stderr=True)
    if quiet:
        yield SILENT
    elif console.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        with RichProgress(*columns, console=console, transient=True) as bars:
            yield Bars(bars)
    else:
        yield Lines(sys.stderr)
