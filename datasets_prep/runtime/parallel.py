"""An ordered map over processes that holds few results and leaves no process behind."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 8


def ordered_map(function: Callable[[A], B], items: Iterable[A], jobs: int) -> Iterator[B]:
    """Like `map`, in up to `jobs` processes; results come in the order of `items`.

    At most eight items a process are under way or waiting to be taken, however many there are.

    Args:
        function: of a module's top level, so that a fresh process finds it.
        items: its arguments, one by one.
        jobs: number of processes; with one, all happens in this process.

    Raises:
        DatasetError: if a process dies, as it does when memory runs out.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    # A fresh process is safe beside a progress bar's thread; a forked one is not.
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_settle
    )
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DatasetError(
            "a worker process died, perhaps for want of memory; run again with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _image_id(item: Any) -> str:
    return str(item.image_id)


def _judged(function: Callable[[A], B], item: A) -> B | DatasetError:
    try:
        return function(item)
    except DatasetError as error:
        return error


def ordered_results(
    function: Callable[[A], B],
    items: Iterable[A],
    jobs: int,
    faults: Faults | None = None,
    name: Callable[[A], str] = _image_id,
) -> Iterator[B]:
    """Like `ordered_map`, for a function that raises DatasetError over an item that is wrong.

    All items are gone through, so that everything wrong is named at once. After the first one
    that is wrong no more results are given, unless such are to be left out.

    Args:
        function: of a module's top level, so that a fresh process finds it.
        items: its arguments, one by one.
        jobs: number of processes; with one, all happens in this process.
        faults: judges what is wrong, when all items are through.
        name: of an item, by which it is left out.

    Raises:
        DatasetError: at the end, naming all that is wrong; or if a process dies.
    """
    faults = Faults() if faults is None else faults
    wrong: list[Fault] = []
    names: list[str] = []
    under_way: deque[A] = deque()

    def given() -> Iterator[A]:
        for item in items:
            under_way.append(item)
            names.append(name(item))
            yield item

    for result in ordered_map(partial(_judged, function), given(), jobs):
        item = under_way.popleft()
        if isinstance(result, DatasetError):
            wrong.append(Fault(name(item), str(result)))
        elif faults.skip or not wrong:
            yield result
    faults.settle("these files are wrong:", wrong, names)


def _settle() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
