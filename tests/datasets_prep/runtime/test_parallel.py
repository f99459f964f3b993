import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets_prep.errors import DatasetError
from datasets_prep.runtime.parallel import ordered_map


def slow_square(number: int) -> int:
    time.sleep(0.02 if number % 5 == 0 else 0.0)
    return number * number


def die(number: int) -> int:
    os._exit(9)


def refuse(number: int) -> int:
    raise DatasetError(f"no {number}")


def test_results_come_in_order_and_items_are_taken_as_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ordered_map(slow_square, items(), jobs=2)
    assert next(results) == 0
    assert len(taken) <= 16
    assert list(results) == [number * number for number in range(1, 100)]


def test_one_job_stays_in_this_process() -> None:
    assert list(ordered_map(lambda number: (number, os.getpid()), [1], jobs=1)) == [
        (1, os.getpid())
    ]


def test_a_dead_worker_is_one_clear_error() -> None:
    with pytest.raises(DatasetError, match="fewer --jobs"):
        list(ordered_map(die, [1], jobs=2))


def test_an_error_of_the_function_is_passed_on() -> None:
    with pytest.raises(DatasetError, match="no 7"):
        list(ordered_map(refuse, [7], jobs=2))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from datasets_prep.runtime.parallel import ordered_map\n"
        "def work(number):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(0 if number == 0 else 600)\n"
        "if __name__ == '__main__':\n"
        "    results = ordered_map(work, iter(range(17)), jobs=2)\n"
        "    next(results)\n"
        "    time.sleep(0.5)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    # The pipe closes when the last worker ends; a worker left behind lets this time out.
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, timeout=60
    )
    assert done.returncode == -9
    assert done.stdout.split()
