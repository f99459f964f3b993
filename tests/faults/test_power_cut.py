"""The power is cut: what was not synced is gone, and a result is right or absent."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results.journal import is_complete
from benchmarks.results.store import read_result
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.benchmarks.results.test_store import KEY as TOY
from tests.benchmarks.results.test_store import ROWS, go_on
from tests.faults.runs import KEY, config, counts, run


class PowerCut(Exception):
    """Stands for the end of everything."""


class Disk:
    """Knows what of a folder is only in memory, and cuts the power after so many steps."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.contents: set[int] = set()  # inodes that were synced
        self.names: list[Path] = []  # given since the folder was synced

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", self._step(os.fsync, self._synced))
        monkeypatch.setattr(Path, "replace", self._step(Path.replace, self._named))
        monkeypatch.setattr(Path, "unlink", self._step(Path.unlink, lambda *_: None))

    def _step(self, original: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if self.steps == 0:
                raise PowerCut
            self.steps -= 1
            answer = original(*args, **options)
            note(*args)
            return answer

        return step

    def _synced(self, number: int) -> None:
        inode = os.fstat(number).st_ino
        self.contents.add(inode)
        if inode == self.folder.stat().st_ino:
            self.names.clear()

    def _named(self, _: Path, target: Path) -> None:
        self.names.append(target)

    def lose(self) -> None:
        for path in self.names:
            path.unlink()
        for path in self.folder.iterdir():
            if path.stat().st_ino not in self.contents:
                path.write_bytes(b"")


@pytest.mark.parametrize("steps", [*range(6), 100])
def test_wherever_it_is_cut_the_run_is_whole_or_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    folder = TOY.folder(tmp_path)
    disk = Disk(folder, steps)
    disk.patch(monkeypatch)
    with suppress(PowerCut):
        go_on(folder)
    monkeypatch.undo()
    disk.lose()
    assert is_complete(folder) == (steps == 100)
    if steps < 100:
        go_on(folder)
    found = read_result(tmp_path, TOY).counts
    assert found.areas.tolist() == [list(row.areas) for row in ROWS]


@pytest.mark.parametrize("name", ["episodes.parquet", "run.json"])
def test_an_emptied_file_is_named_and_its_run_measured_again(
    root: Path, tmp_path: Path, name: str
) -> None:
    run(root, tmp_path)
    before = counts(tmp_path)
    (KEY.folder(tmp_path) / name).write_bytes(b"")
    with pytest.raises(BenchError, match=f"{name}.*; measure it again with --fresh"):
        run(root, tmp_path)
    run_matrix(config(root, tmp_path), resume="fresh", listener=Quiet())
    assert counts(tmp_path) == before
