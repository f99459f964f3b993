"""The disk fills up: one clear message, nothing half, and with room again the run goes on."""

import resource
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.errors import BenchError
from benchmarks.results.store import find_runs
from leaderboards.build import build
from tests.faults.runs import counts, files, run
from tests.faults.sandbox import forked, on_own_disk, remount

BYTES = (100, 900, 2000, 2600)  # into the journal's header, its first batch, a later one, the table


@pytest.mark.parametrize("room", BYTES)
def test_a_run_goes_on_wherever_writing_stopped(root: Path, tmp_path: Path, room: int) -> None:
    def cramped() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        run(root, tmp_path / "a")

    assert "File too large" in forked(cramped)
    assert find_runs(tmp_path / "a") == []
    run(root, tmp_path / "a")
    run(root, tmp_path / "b")
    assert counts(tmp_path / "a") == counts(tmp_path / "b")


def test_bench_run_says_so_and_goes_on_with_room(root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    args = ["run", "-d", "tiny", "--model-from", "tests.tiny:ColourModel", "--name", "colour"]
    args += ["--limit", "40", "--shots", "1", "--folds", "0", "--device", "cpu", "--quiet"]
    args += ["--data-root", str(root / "data"), "--results-root", str(results)]

    def measure() -> list[object]:
        full = CliRunner().invoke(main, args)
        begun = find_runs(results)
        remount(results, "size=1m")
        again = CliRunner().invoke(main, args)
        return [full.exit_code, full.stderr, begun, again.exit_code, counts(results)]

    code, said, begun, second, found = on_own_disk(results, "8k", measure)
    assert (code, begun, second) == (2, [], 0)
    assert "No space left on device; free some space, or choose another --data-root" in said
    run(root, tmp_path / "unbroken")
    assert found == counts(tmp_path / "unbroken")


def test_a_board_stays_as_it_was(root: Path, tmp_path: Path) -> None:
    results, board = tmp_path / "results", tmp_path / "board"
    run(root, results)

    def build_twice() -> list[object]:
        build(results, board)
        before = files(board)
        used = sum(map(len, before.values())) // 1024
        remount(board, f"size={used + 24}k")
        run(root, results, limit=30)
        try:
            build(results, board)
        except BenchError as error:
            return [str(error), before == {name: files(board)[name] for name in before}]
        return ["nothing", False]

    said, same = on_own_disk(board, "4m", build_twice)
    assert said.startswith("cannot write") and said.endswith("No space left on device")
    assert same
