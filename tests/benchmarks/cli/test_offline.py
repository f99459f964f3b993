"""With --offline no connection is opened, and what is missing is named with its remedy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results.store import read_result
from leaderboards.committed.archive import pack
from tests.leaderboards.synthetic import write_model
from tests.tiny import tiny_dataset

ROOT = Path(__file__).parents[3]

NO_SOCKETS = """
import json, socket, sys, time

def refuse(self, address, *rest):
    print("CONNECTS", address, file=sys.stderr)
    raise OSError(f"a connection to {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda host, *rest, **more: refuse(None, host)
time.sleep = lambda seconds: None  # the hub waits longer each time before it tries again

from benchmarks.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    tiny_dataset(root)
    return root


def bench(data_root: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with an empty hub cache and sockets that only complain."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    places = {
        "BENCH_DATA": str(data_root),
        "BENCH_RESULTS": str(folder / "results"),
        "HF_HOME": str(folder / "hub"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", NO_SOCKETS, *args]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={**given, **places}
    )


WHAT = ("run", "--datasets", "tiny", "--device", "cpu", "--limit", "2", "--shots", "1", "--json")


def test_a_run_offline_opens_no_connection(data_root: Path, tmp_path: Path) -> None:
    models = ("--model-from", "tests.tiny:ColourModel", "--models", "seggpt")
    done = bench(data_root, tmp_path, *WHAT, *models, "-o", "seggpt.random=tiny", "--offline")
    assert done.returncode == 0, done.stderr
    assert "CONNECTS" not in done.stderr
    runs = {outcome["run"].split("/")[2] for outcome in json.loads(done.stdout)}
    assert len(runs) == 2 and "seggpt" in runs


@pytest.mark.parametrize("offline", [True, False])
def test_missing_weights_are_asked_for_only_online(
    data_root: Path, tmp_path: Path, offline: bool
) -> None:
    flags = ("--models", "seggpt", "--option", "weights=nobody/nothing")
    done = bench(data_root, tmp_path, *WHAT, *flags, *(("--offline",) if offline else ()))
    assert done.returncode == 2, done.stderr
    assert ("CONNECTS" in done.stderr) != offline
    assert ("bench models fetch nobody/nothing" in done.stderr) == offline
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("offline", [True, False])
def test_weights_that_an_archive_names_are_fetched_only_online(
    data_root: Path, tmp_path: Path, offline: bool
) -> None:
    config = {"weights": "nobody/nothing"}
    keys = write_model(tmp_path / "sent", "seggpt", dataset="tiny", config=config)
    pack([read_result(tmp_path / "sent", key) for key in keys], tmp_path / "mine.zip")
    flags = ("--device", "cpu", *(("--offline",) if offline else ()))
    done = bench(data_root, tmp_path, "results", "verify", "mine.zip", *flags)
    assert done.returncode == 2, done.stderr
    assert ("CONNECTS" in done.stderr) != offline
    assert ("bench models fetch nobody/nothing" in done.stderr) == offline
