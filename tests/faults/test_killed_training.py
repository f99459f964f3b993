"""A training is killed at any moment: with --resume it ends in the weights of an unbroken one.

`tests/benchmarks/train/test_trainer.py` dies before any writing, and
`tests/benchmarks/train/test_diffews_stages.py` kills `bench train diffews`.
"""

import multiprocessing
import random
import time
from pathlib import Path

from tests.benchmarks.train.test_trainer import left, run

STEPS, KILLS = 20, 3


def test_kills_end_in_the_unbroken_weights(tmp_path: Path) -> None:
    run(tmp_path / "whole", steps=STEPS)
    out, fork, clock = tmp_path / "killed", multiprocessing.get_context("fork"), random.Random(0)
    state = out / "state.pt"
    for kills in range(KILLS):
        before = state.stat().st_mtime_ns if kills else None
        child = fork.Process(target=run, args=(out, kills > 0), kwargs={"steps": STEPS})
        child.start()
        while child.is_alive() and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.001)
        time.sleep(clock.uniform(0.0, 0.01))
        child.kill()
        child.join()
        assert child.exitcode == -9, "it was through before it was killed"
    run(out, resume=True, steps=STEPS)
    assert left(out) == left(tmp_path / "whole")
