"""The doctor finds what is broken, and says what mends it."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.cli.machine import examine, extras, folder, torchvision


def broken(path: Path, body: str) -> None:
    package = path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "ops.py").write_text(body)
    info = path / "torchvision-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 9.9\n")


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "wrong"),
        ("", "ok"),
    ],
)
def test_a_torchvision_that_does_not_fit_is_wrong(
    body: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, body)
    monkeypatch.syspath_prepend(str(tmp_path))
    check = torchvision()
    assert check.state == state and "9.9" in check.finding
    if state == "wrong":
        assert "nms does not exist" in check.finding
        assert check.finding.endswith("pip uninstall torchvision")
    for name in ("torchvision", "torchvision.ops"):
        sys.modules.pop(name, None)


def test_a_folder_that_is_not_there_yet_is_fine_and_stays_away(tmp_path: Path) -> None:
    check = folder("data root", tmp_path / "a/b")
    assert "(not there yet)" in check.finding and check.state != "wrong"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert folder("data root", tmp_path / "file/in").state == "wrong"


def test_low_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=3 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = folder("data root", tmp_path)
    assert (check.state, check.finding.endswith("3 GB free")) == ("warning", True)


def test_everything_is_looked_at(tmp_path: Path) -> None:
    names = [check.name for check in examine(tmp_path, tmp_path)]
    assert names == [
        "python", "packages", "device", "torchvision", "data root", "results root", "demo weights",
        "extras",
    ]  # fmt: skip


def test_a_lacking_extra_is_no_fault_and_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "benchmarks.cli.machine._EXTRAS", {"plots": "numpy", "leaks": "no_such_package"}
    )
    check = extras()
    assert check.state == "ok" and check.finding.startswith("numpy ")
    assert check.finding.endswith("no no_such_package (pip install 'fss-bench[leaks]')")
