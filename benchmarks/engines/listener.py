"""Who hears how a matrix comes along."""

from typing import Protocol

from benchmarks.engines.run import Outcome
from benchmarks.results.store import RunKey
from datasets_prep.runtime.progress import Progress


class Listener(Protocol):
    """Hears how the matrix comes along."""

    def matrix_started(self, runs: int, episodes: int) -> None:
        """So many runs of so many episodes in all will be there."""

    def run_started(self, key: RunKey, total: int, done: int) -> None:
        """A run of `total` episodes begins, `done` of them are there or are of other shards."""

    def advanced(self, episodes: int) -> None:
        """So many more episodes are through."""

    def run_finished(self, outcome: Outcome) -> None:
        """A run is whole, or has tried all of its episodes."""

    def note(self, text: str) -> None:
        """One line worth reading."""


class ProgressListener:
    """Tells a `Progress` what the runner says: one bar over all runs, and a line for each.

    Args:
        shown: where it is shown.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._runs = self._finished = 0
        self._done = self._every = 0
        self._spared: dict[RunKey, int] = {}

    def matrix_started(self, runs: int, episodes: int) -> None:
        """The bar begins."""
        self._runs, self._every = runs, episodes

    def run_started(self, key: RunKey, total: int, done: int) -> None:
        """A run begins, or goes on: what is done already is no progress."""
        self._spared[key] = done
        self._shown.update(self._label, self._done, self._total)

    def advanced(self, episodes: int) -> None:
        """Some more episodes are through."""
        self._done += episodes
        self._shown.update(self._label, self._done, self._total)

    @property
    def _total(self) -> int:
        # What ran out of memory was begun twice, or is left out with some of it done.
        return max(self._every - sum(self._spared.values()), self._done)

    @property
    def _label(self) -> str:
        return "episodes of 1 run" if self._runs == 1 else f"episodes of {self._runs} runs"

    def run_finished(self, outcome: Outcome) -> None:
        """Print the run's numbers, or how far it came."""
        self._finished += 1
        label = f"[{self._finished}/{self._runs}] {outcome.key}"
        record = outcome.record
        if record is None:
            self._shown.note(f"{label}  {outcome.unfinished or outcome.status}")
            return
        self._shown.note(
            f"{label}  mIoU {100 * record.miou:.1f}  "
            f"FB-IoU {100 * record.fb_iou:.1f}  {record.milliseconds_per_episode:.1f} ms/episode"
            + ("  (already complete)" if outcome.status == "already complete" else "")
        )

    def note(self, text: str) -> None:
        """Print one line."""
        self._shown.note(text)
