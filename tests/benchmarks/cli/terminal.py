"""The command in a folder of its own, beside a tiny dataset."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.cli import main
from tests.tiny import tiny_dataset

MODEL = "tests.tiny:ColourModel"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    tiny_dataset(root)
    return root


@pytest.fixture(autouse=True)
def place(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(data_root))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    before = list(sys.path)
    yield
    sys.path[:] = before


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def run(*args: str, code: int = 0) -> Result:
    return bench(
        "run", "--datasets", "tiny", "--model-from", MODEL, "--device", "cpu", *args, code=code
    )


def refused(*args: str) -> str:
    """The one message of a command that must fail without a traceback."""
    result = bench(*args, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    return result.stderr.removeprefix("error: ").strip()
