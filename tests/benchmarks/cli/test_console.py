"""Progress: what a terminal, a file and `--quiet` get to see."""

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TextColumn

from benchmarks.cli.console import Bars, Lines, Pace, print_table, progress
from benchmarks.engines.listener import ProgressListener
from benchmarks.results.store import RunKey


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pace_tells_rate_and_time_left() -> None:
    assert Pace("x", 0.0, 0, 340, 1000).text(6.8) == "340/1000  50/s  0:00:13 left"
    assert Pace("x", 0.0, 0, 0, 1000).text(1.0) == "0/1000"
    assert Pace("x", 0.0, 0, 70, None).text(7.0) == "70  10/s"
    assert Pace("x", 0.0, 0, 5, 5).text(1.0) == "5/5  5/s  0:00:00 left"


def test_pace_of_a_resumed_step_counts_only_what_is_new() -> None:
    assert Pace("x", 0.0, 900, 950, 1000).text(10.0) == "950/1000  5/s  0:00:10 left"


def test_many_bytes_are_megabytes() -> None:
    text = Pace("x", 0.0, 0, 500 * 10**6, 2000 * 10**6).text(10.0)
    assert text == "500/2000 MB  50 MB/s  0:00:30 left"


def test_lines_come_after_two_seconds_and_then_every_ten() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    for second in range(31):
        clock.now = 100.0 + second
        lines.update("images", second, 100)
    seconds = [line.partition(" ")[2].partition("/")[0] for line in stream.getvalue().splitlines()]
    assert seconds == ["2", "12", "22"]


def test_what_is_quick_leaves_no_line() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.update("images", 0, 2)
    clock.now += 1.9
    lines.update("images", 2, 2)
    assert stream.getvalue() == ""


def test_a_fall_is_a_new_start() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.update("file", 80, 100)
    clock.now += 5
    lines.update("file", 0, 100)
    clock.now += 4
    lines.update("file", 40, 100)
    assert stream.getvalue() == "file: 40/100  10/s  0:00:06 left\n"


def test_bars_go_when_their_step_ends_and_notes_keep_their_brackets() -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, width=80)
    shown = RichProgress(TextColumn("{task.fields[pace]}"), console=console)
    bars = Bars(shown, clock)
    bars.update("run", 0, 10)
    assert [task.visible for task in shown.tasks] == [True]
    clock.now += 1
    bars.update("run", 10, 10)
    assert [task.visible for task in shown.tasks] == [False]
    bars.note("[1/2] done [bold]")
    assert stream.getvalue() == "[1/2] done [bold]\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as shown:
        shown.note("x")
        shown.update("x", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as shown:
        shown.note("a mirror is dead")
    assert capsys.readouterr() == ("", "a mirror is dead\n")


def test_tables_are_not_cut_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("x" * 300, 1), ("[y]", 22)], right=("n",))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [lines[0], *lines[2:]] == [["name", "n"], ["x" * 300, "1"], ["[y]", "22"]]


@pytest.mark.parametrize("width", [30, 60, 80])
def test_numbers_stay_whole_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(Console, "is_terminal", True)
    numbers = ("episodes", "queries", "images")
    headers = ("run", "why it is so", *numbers)
    row = ("shapes/fold0", "words that may be folded", 1_000_000, "200–200", "0.123456")
    print_table(headers, [row, row], right=numbers)
    words = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).split()
    for whole in ("1000000", "200–200", "0.123456", "episodes"):
        assert whole in words


def test_the_listener_numbers_runs_and_counts_what_was_done_before() -> None:
    seen: list[Any] = []

    class Spy:
        def update(self, label: str, done: int, total: int | None) -> None:
            seen.append((label, done, total))

        def note(self, message: str) -> None:
            seen.append(message)

    listener = ProgressListener(Spy())
    listener.matrix_started(runs=2, episodes=20)
    listener.run_started(RunKey("d", "p", "m", 0, 1), total=10, done=4)
    listener.advanced(3)
    listener.advanced(3)
    listener.note("smaller batches")
    label = "episodes of 2 runs"
    assert seen == [(label, 0, 16), (label, 3, 16), (label, 6, 16), "smaller batches"]
    # Left out for want of memory: all of it counts as done before, and no bar is more than full.
    listener.run_started(RunKey("d", "p", "m", 0, 1), total=10, done=10)
    listener.run_started(RunKey("d", "p", "m", 1, 1), total=10, done=10)
    assert seen[-1] == (label, 6, 6)
