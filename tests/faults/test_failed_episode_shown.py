"""An episode that failed is shown by every verb that a score would be looked for with."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.cli import main
from tests.faults.runs import KEY
from tests.faults.test_failed_episode import FAULTY, Faulty, break_on

WHAT = ["--datasets", "tiny", "--shots", "1", "--folds", "0", "--limit", "40", "--device", "cpu"]
WHAT += ["--name", "colour", "--quiet"]


@pytest.fixture(autouse=True)
def place(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(root / "data"))
    break_on(root, [7, 23])
    yield
    Faulty.marked = frozenset()


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def test_the_run_ends_with_exit_code_3_until_it_is_whole() -> None:
    said = bench("run", *WHAT, "--model-from", FAULTY, code=3)
    assert "0: unfinished" in said.stdout and "–" in said.stdout
    assert (
        f"{KEY} has no score, unfinished: 38 of 40 episodes are measured, 2 failed" in said.stderr
    )
    assert "  episode 7: RuntimeError: no such luck\n" in said.stderr
    assert "the same command tries them again" in said.stderr

    entry = json.loads(bench("run", *WHAT, "--model-from", FAULTY, "--json", code=3).stdout)[0]
    assert entry["status"] == "unfinished" and set(entry["failed"]) == {"7", "23"}
    assert "miou" not in entry

    Faulty.marked = frozenset()
    assert "miou" in bench("run", *WHAT, "--model-from", FAULTY, "--json").stdout


def test_the_board_names_it_and_has_no_row() -> None:
    bench("run", *WHAT, "--model-from", FAULTY, code=3)
    said = bench("leaderboard").stdout
    assert "38 of 40 episodes are measured, 2 failed; bench run goes on with it" in said
    page = Path("leaderboards/README.md").read_text()
    assert "## Left out" in page and "2 failed" in page
    assert json.loads(Path("leaderboards/boards/board.json").read_text())["settings"] == []


def test_show_names_the_episodes() -> None:
    bench("run", *WHAT, "--model-from", FAULTY, code=3)
    said = bench("show", "tiny", "7", "--run", "colour/fold0_1shot", code=2).stderr
    assert "38 of 40 episodes are measured, 2 failed" in said
    assert "  episode 23: RuntimeError: no such luck" in said
