"""The results folder cannot be written: one clear message, and what is there stays readable."""

from pathlib import Path

from click.testing import CliRunner

from benchmarks.cli import main
from tests.faults.runs import KEY, config, counts, run
from tests.faults.sandbox import on_own_disk, remount


def test_a_run_says_so_and_a_board_is_built_from_it(root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    matrix = config(root, results)
    places = ["--data-root", str(matrix.data_root), "--results-root", str(results)]
    wanted = ["-d", "tiny", "--folds", "0", "--shots", "1", "--limit", "40", "--device", "cpu"]
    again = ["run", "--model-from", "tests.tiny:ColourModel", "--name", "colour", *wanted, *places]
    other = ["run", "--models", "random", *wanted, *places]

    def verbs() -> list[object]:
        run(root, results)
        remount(results, "ro")
        invoke = CliRunner().invoke
        board = ["leaderboard", "--results-root", str(results), "--output", str(tmp_path / "b")]
        return [
            (done.exit_code, done.stdout, done.stderr)
            for done in (invoke(main, again), invoke(main, other), invoke(main, board))
        ] + [counts(results)]

    known, new, board, found = on_own_disk(results, "1m", verbs)
    run(root, tmp_path / "writable")
    assert found == counts(tmp_path / "writable")
    assert known[0] == 0, "a finished run needs no writing"
    assert (new[0], board[0]) == (2, 0)
    folder = str(results / str(KEY)).replace("colour", "random")
    assert f"error: cannot write to {folder}: Read-only file system" in new[2]
    assert "colour" in board[1]
