"""The leaderboard is killed at any moment: every file is the old or the new one, none is half."""

from pathlib import Path

import pytest

from leaderboards.build import build
from tests.faults.runs import files
from tests.leaderboards.synthetic import write_run


def boards_of(results: Path, output: Path) -> dict[str, bytes]:
    build(results, output)
    return dict(files(output))


def test_death_at_any_write_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, board = tmp_path / "results", tmp_path / "board"
    write_run(results, name="alpha")
    old = boards_of(results, board)
    write_run(results, name="beta")
    new = boards_of(results, tmp_path / "new")
    store = files(results)
    for step in range(0, 2 * len(new), 3):
        with monkeypatch.context() as patch:
            left = iter(range(step))
            for name in ("write_bytes", "replace"):
                patch.setattr(Path, name, mortal(getattr(Path, name), left))
            with pytest.raises(Death):
                build(results, board)
        found = {
            name: text for name, text in files(board).items() if not Path(name).name.startswith(".")
        }
        assert found.keys() == new.keys()
        assert all(text in (old[name], new[name]) for name, text in found.items())
    assert files(results) == store
    assert boards_of(results, board) == new


class Death(BaseException):
    """The process ends here; what was being written is half."""


def mortal(function, left):  # type: ignore[no-untyped-def]
    def wrapped(path: Path, *args: object) -> object:
        if next(left, None) is not None:
            return function(path, *args)
        if args and isinstance(args[0], bytes):
            function(path, args[0][: len(args[0]) // 2])
        raise Death

    return wrapped
