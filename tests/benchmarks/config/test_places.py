"""Where data and results are, by flag, environment and `bench.yaml`."""

from pathlib import Path

import pytest

from benchmarks.config.file import load_config, root
from benchmarks.config.overrides import Overrides, apply
from benchmarks.config.schema import BenchConfig
from benchmarks.errors import BenchError


def test_places_come_from_flag_then_environment_then_file_then_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert root("data_root", None) == Path("data")
    _write("data_root: from_file\nresults_root: kept\n")
    assert root("data_root", None) == Path("from_file")
    monkeypatch.setenv("BENCH_DATA", "from_env")
    assert root("data_root", None) == Path("from_env")
    assert root("data_root", Path("from_flag")) == Path("from_flag")
    assert load_config().results_root == Path("kept")


def test_the_users_home_may_be_written_as_a_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _write("data_root: ~/data\nresults_root: '~'\n")
    assert load_config().data_root == root("data_root", None) == tmp_path / "data"
    assert load_config().results_root == tmp_path
    assert root("data_root", Path("~/flag")) == tmp_path / "flag"
    flag = apply(BenchConfig(), Overrides(fields={"data_root": Path("~/flag")}))
    assert flag.data_root == tmp_path / "flag"
    monkeypatch.setenv("BENCH_RESULTS", "~/kept")
    assert load_config().results_root == root("results_root", None) == tmp_path / "kept"


def test_a_home_that_is_nobodys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "there is no home folder for ~no.such.user; write the whole path"
    path = Path("~no.such.user/data")
    with pytest.raises(BenchError, match=f"^data_root: {said}"):
        root("data_root", path)
    with pytest.raises(BenchError, match=f"^--data-root: {said}"):
        apply(BenchConfig(), Overrides(fields={"data_root": path}))
    monkeypatch.setenv("BENCH_DATA", str(path))
    with pytest.raises(BenchError, match=f"^BENCH_DATA: {said}"):
        load_config()


def _write(text: str) -> None:
    Path("bench.yaml").write_text(text, encoding="utf-8")
