"""Nothing of the environment but an allow-list enters a result, a board or a report."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.results import environment
from tests.tiny import tiny_dataset

CANARY = "hunter2-canary"
NAMES = (
    "USER", "LOGNAME", "HOSTNAME", "HOME", "MAIL", "EDITOR", "LANG", "SSH_AUTH_SOCK", "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN", "AWS_CANARY_ACCESS_KEY", "GITHUB_TOKEN", "SLURM_JOB_NAME",
    "SLURM_JOB_USER", "OLDPWD", "HF_HOME", "XDG_CACHE_HOME", "TORCH_HOME", "COLUMNS", "GIT_DIR",
    "GIT_WORK_TREE", "GIT_AUTHOR_NAME", "GIT_CONFIG_GLOBAL", "MPLCONFIGDIR", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
VERBS = (
    "run -d tiny --shots 1 --device cpu --quiet --save-predictions --models random",
    "leaderboard --gallery --output board",
    "report tiny/random --out report",
    "results card random",
)


def test_a_poisoned_environment_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / CANARY
    tiny_dataset(home / "data")
    for name in (*NAMES, CANARY.upper().replace("-", "_")):
        monkeypatch.setenv(name, f"{home}/{CANARY}")
    monkeypatch.setenv("BENCH_DATA", str(home / "data"))
    monkeypatch.setenv("BENCH_RESULTS", str(home / "results"))
    monkeypatch.chdir(home)
    for known in (environment.versions, environment.revision):
        known.cache_clear()
    for line in VERBS:
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, done.output
        assert line.startswith("report") or CANARY not in done.stdout
    written = [
        path
        for folder in ("results", "board", "report")
        for path in (home / folder).rglob("*")
        if path.is_file()
    ]
    assert {path.suffix for path in written} >= {".json", ".parquet", ".png", ".md", ".html"}
    assert not [path.name for path in written if CANARY.encode() in path.read_bytes()]
    host = os.uname().nodename.encode()
    assert not [path.name for path in written if len(host) > 5 and host in path.read_bytes()]


def test_the_revision_is_that_of_the_suite_whatever_git_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = environment.revision.__wrapped__()
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert environment.revision.__wrapped__() == own
