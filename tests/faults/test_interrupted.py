"""Ctrl-C: one line says that the same command goes on, and it does, to the same result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.results import environment
from tests.faults.runs import files

SLOW = """
import time
from pathlib import Path
from tests.tiny import ColourModel

class Slow(ColourModel):
    def segment(self, queries, supports):
        time.sleep(float(Path("pause").read_text()))
        return super().segment(queries, supports)
"""
WHAT = ["run", "-d", "tiny", "--model-from", "slow.py", "--device", "cpu", "--folds", "0"]
WHAT += ["--shots", "1", "--limit", "30", "--batch-size", "1", "--json"]


def test_it_is_clean_and_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(root / "data"))
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "pause").write_text("0.5")
    process = subprocess.Popen(
        [sys.executable, "-c", "from benchmarks.cli import main; main()", *WHAT],
        stderr=subprocess.PIPE,
        # What a shell runs in the background, these tests perhaps, hears no Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    folder = tmp_path / "results/tiny/fixed-v1-first30/slow/fold0_1shot"
    deadline = time.monotonic() + 60
    while not (
        (journal := folder / "journal.jsonl").exists() and journal.read_bytes().count(b"\n") > 2
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().endswith("error: interrupted; the same command goes on where it stopped")
    assert "Traceback" not in said
    assert set(files(folder)) == {".lock", "journal.jsonl"}

    begun = json.loads(journal.read_text().partition("\n")[0])["code"]
    monkeypatch.setattr(environment, "program", lambda: begun)  # whatever is edited meanwhile
    (tmp_path / "pause").write_text("0")
    (record,) = json.loads(CliRunner().invoke(main, WHAT).stdout)
    assert (record["status"], record["sittings"]) == ("measured", 2)
