"""A user's own code runs where it is named, and nowhere with --no-custom-code."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from tests.benchmarks.cli import terminal

MINE = """open("ran", "w").close()
from tests.tiny import ColourModel
class Mine(ColourModel): ...
"""
TINY = "{name: tiny, shots: [1]}"


data_root = terminal.data_root


@pytest.fixture(autouse=True)
def place(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(data_root))
    (tmp_path / "mine.py").write_text(MINE)
    before, loaded = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def bench(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, args)
    return done.exit_code, done.stderr


RUN = ("run", "-d", "tiny", "--limit", "3", "--shots", "1", "--folds", "0", "--device", "cpu", "-q")


@pytest.mark.parametrize("spec", ["mine.py", "mine.py:Mine", "mine:Mine"])
@pytest.mark.parametrize(
    "verb",
    [
        (*RUN, "--model-from", "SPEC"),
        (*RUN, "--model-from", "SPEC", "--models", "random"),
        (*RUN, "--models", "SPEC"),
        ("models", "check", "SPEC"),
        ("show", "tiny", "0", "--model", "SPEC"),
        ("speed", "SPEC", "--sample", "1"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_it_is_refused_by_every_verb(verb: tuple[str, ...], spec: str) -> None:
    args = [spec if arg == "SPEC" else arg for arg in verb]
    code, said = bench(*args, "--no-custom-code")
    assert code == 2
    assert said.count("\n") == 1 and said.startswith("error: ")
    assert f"{spec} is code of your own, which --no-custom-code" in said
    assert not Path("ran").exists() and not Path("results").exists()


@pytest.mark.parametrize("key", ["name", "model"])
def test_it_is_refused_in_the_file_too(key: str) -> None:
    model = "{name: m, model: mine.py}" if key == "model" else "mine.py"
    text = f"datasets: [{TINY}]\ndevice: cpu\nlimit: 3\nmodels: [{model}]\n"
    Path("bench.yaml").write_text(text)
    code, said = bench("run", "--no-custom-code")
    assert code == 2 and "mine.py is code of your own" in said
    Path("bench.yaml").write_text(text + "custom_code: false\n")
    assert bench("run")[0] == 2
    assert not Path("ran").exists()
    Path("bench.yaml").write_text(text)
    assert bench("run", "-q")[0] == 0
    assert Path("ran").exists()


def test_models_of_the_suite_run_as_ever() -> None:
    assert bench(*RUN, "--models", "random", "--no-custom-code") == (0, "")


def test_reading_a_configuration_runs_nothing() -> None:
    Path("bench.yaml").write_text(f"datasets: [{TINY}]\nmodels: [mine.py]\n")
    for verb in (("run", "--show-config"), ("run", "--dry-run")):
        assert bench(*verb)[0] == 0
    assert not Path("ran").exists()


def test_a_file_that_lies_here_is_no_package() -> None:
    """Libraries look for packages that may be installed; this folder is no place to find them."""
    for name in ("xformers", "flash_attn", "sitecustomize", "accelerate", "tensorflow"):
        Path(f"{name}.py").write_text("open('ran', 'w').close()\n")
    assert bench(*RUN, "--models", "random")[0] == 0
    assert str(Path.cwd()) not in sys.path and "" not in sys.path
    assert not Path("ran").exists()


def test_a_module_here_is_found_where_it_is_named() -> None:
    assert bench(*RUN, "--model-from", "mine:Mine")[0] == 0
    assert Path("ran").exists()


class Joined(BaseException):
    """Ray was asked to join a cluster."""


def _join(address: str, **_: object) -> None:
    raise Joined(address)


MATRIX = f"datasets: [{TINY}]\nmodels: [random]\nengine: ray\n"


@pytest.mark.parametrize(
    ("flag", "line"),
    [("--no-custom-code", ""), ("--offline", ""), ("-q", "custom_code: false\n")],
)
def test_a_cluster_of_a_file_is_not_joined(
    monkeypatch: pytest.MonkeyPatch, flag: str, line: str
) -> None:
    """What answers there may send code, and Ray imports `mine`."""
    ray = SimpleNamespace(is_initialized=lambda: False, init=_join)
    monkeypatch.setitem(sys.modules, "ray", ray)
    for address in ("ray://127.0.0.1:9", "127.0.0.1:9", "mine://x", "local"):
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # put back what --offline sets
        Path("bench.yaml").write_text(f"{MATRIX}{line}address: {address}\n")
        code, said = bench("run", flag)
        assert code == 2 and said.count("\n") == 1
        assert f"joins the Ray cluster '{address}'" in said
        with pytest.raises(Joined, match=address):  # the command line's is the user's own
            bench("run", flag, "--address", address)
    Path("bench.yaml").write_text(f"{MATRIX}{line}address: auto\n")
    with pytest.raises(Joined, match="auto"):
        bench("run", flag)


def test_a_cluster_of_the_users_own_file_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(is_initialized=lambda: False, init=_join)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    Path("bench.yaml").write_text(f"{MATRIX}address: ray://127.0.0.1:9\n")
    with pytest.raises(Joined, match=r"ray://127\.0\.0\.1"):
        bench("run")


@pytest.mark.parametrize("spread", [("--shards", "2"), ("--ray", "2")])
def test_a_batch_file_passes_the_refusal_on(spread: tuple[str, str]) -> None:
    assert bench("submit", "--slurm", *spread, "--out", "b", "--", "--no-custom-code") == (0, "")
    runs = [line for line in Path("b").read_text().splitlines() if "bench run" in line]
    assert runs and all("--no-custom-code" in line for line in runs)
