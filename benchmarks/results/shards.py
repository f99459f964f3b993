"""Shards: parts of every run of a matrix, measured apart and merged.

A shard's rows lie in `shards/{i}of{n}/` of the run's folder, in a journal as any run's;
`shard.json` beside it says that all of them are there.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.evaluation.plan import Batch, cut_near
from benchmarks.results.journal import read_rows
from benchmarks.results.records import ShardRecord, read_shard
from benchmarks.results.store import RunKey

SHARD_FILE = "shard.json"
_NEAR = 8  # a cut may move by one in so many batches of a shard to fall between two classes


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` parts of every run."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """`i/n`, i from 1.

        Raises:
            BenchError: if it is not that.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise BenchError(f"{text!r} is no shard; the second of eight is 2/8")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def folder(self, run: Path) -> Path:
        """Its place in a run's folder."""
        return run / "shards" / f"{self.index}of{self.count}"

    def part(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Its part of a plan: all shards' parts make the plan, with nothing twice."""
        return batches[self._cut(self.index - 1, batches) : self._cut(self.index, batches)]

    def _cut(self, number: int, batches: Sequence[Batch]) -> int:
        if number in (0, self.count):
            return len(batches) * number // self.count
        each = len(batches) // self.count
        return cut_near(batches, len(batches) * number // self.count, each // _NEAR)


@dataclass(frozen=True)
class FoundShard:
    """A finished shard in some results store."""

    folder: Path
    record: ShardRecord

    def __str__(self) -> str:
        return f"{self.record.shard}/{self.record.shards}"


def find_shards(results_root: Path) -> Iterator[tuple[RunKey, Shard, Path]]:
    """Every shard below the root, finished or not: its run, which it is, and its folder.

    What lies beside them under another kind of name, such as a copy, is none.
    """
    for folder in sorted(results_root.glob("*/*/*/fold*_*shot/shards/*of*")):
        key = RunKey.parse(folder.parents[1].relative_to(results_root).as_posix())
        try:
            shard = Shard.parse(folder.name.replace("of", "/"))
        except BenchError:
            continue
        if key is not None:
            yield key, shard, folder


def read_found(folder: Path) -> FoundShard | None:
    """A finished shard; None where it is not finished, or rows of it are gone.

    Raises:
        BenchError: if `shard.json` is damaged.
    """
    path = folder / SHARD_FILE
    if not path.is_file():
        return None
    record = read_shard(path)
    rows, _ = read_rows(folder)
    whole = sorted(row.episode for row in rows) == sorted(record.queries)
    return FoundShard(folder, record) if whole else None
