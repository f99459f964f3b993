"""The journal of a run under way: appended, never rewritten, and made a result at the end.

A header line says what is measured, and by what code, then comes one line a batch or failed
episode, and one for each hardware at its first batch. A process killed at any moment leaves at most
a torn last line, which is cut off on resume; a line that is damaged otherwise costs its own batch.
"""

import errno
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import Timeout

from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import EpisodeCounts, further_counts
from benchmarks.results import environment, kept_masks
from benchmarks.results.agreement import check_same
from benchmarks.results.records import RunRecord, Setup, write_record
from benchmarks.results.table import MOST_PIXELS, write_table
from datasets_prep.runtime.disk import acquired

Resume = Literal["resume", "fresh"]


@dataclass(frozen=True, slots=True)
class Row:
    """One episode's counts as they go into the journal; the last two as in `EpisodeCounts`."""

    episode: int
    class_id: int
    areas: tuple[int, int, int, int]
    milliseconds: float
    further: Mapping[str, int] = field(default_factory=dict)
    presence: float | None = None

    def entry(self) -> tuple[Any, ...]:
        """What `row_of` reads; at its end, what there is nothing of is left out."""
        counts = (self.episode, self.class_id, self.areas, round(self.milliseconds, 3))
        if self.presence is not None:
            return (*counts, self.further, self.presence)
        return (*counts, self.further) if self.further else counts


def row_of(
    episode: Any, class_id: Any, areas: Any, milliseconds: Any, further: Any = (), *presence: Any
) -> Row:
    """The row of a journal's entry.

    Raises:
        ValueError, TypeError: if it is none.
    """
    fi, fu, bi, bu = map(_number, areas)
    return Row(
        _number(episode),
        _number(class_id),
        (fi, fu, bi, bu),
        float(milliseconds),
        {str(name): _number(value) for name, value in dict(further).items()},
        *map(_finite, presence),
    )


@dataclass
class Contents:
    """What the whole lines of a journal say, and the number of bytes up to their end."""

    header: dict[str, Any] | None = None
    rows: list[Row] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    hardware: list[str] = field(default_factory=list)
    seconds: float = 0.0
    end: int = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take in one line, whole or not at all: what is cut off must not be among the rows."""
        if "setup" in entry:
            setup, code = dict(entry["setup"]), dict(entry["code"])
            self.header = {"setup": setup, "code": code, "sittings": _number(entry["sittings"])}
        elif "failed" in entry:
            self.failed[_number(entry["failed"])] = str(entry["reason"])
        elif "hardware" in entry:
            self.hardware.append(str(entry["hardware"]))
        else:
            batch = [row_of(*own) for own in entry["rows"]]
            self.seconds += float(entry["seconds"])
            self.rows += batch
            for row in batch:
                self.failed.pop(row.episode, None)


def _number(value: Any) -> int:
    """A number as a journal has it; anything else makes its line a damaged one."""
    if type(value) is not int or not 0 <= value <= MOST_PIXELS:
        raise ValueError(f"{value!r} is no count")
    return value


def _finite(value: Any) -> float:
    """The same for a finite float of any size and sign."""
    if type(value) is not float or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


def read_journal(path: Path) -> Contents:
    """Those of its lines that are whole."""
    contents = Contents()
    if not path.exists():
        return contents
    place = 0
    for line in path.read_bytes().splitlines(keepends=True):
        place += len(line)
        try:
            if line.endswith(b"\n"):
                contents.add(json.loads(line))
                contents.end = place
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return contents


class Journal:
    """The open run of one key. Use as a context manager: it holds the folder's lock.

    Args:
        folder: the run's folder.
        setup: what a resumed run must share with its beginning.
        resume: "resume" goes on where the run stopped; "fresh" throws away what there is.

    Attributes:
        rows: of every episode that is measured.
        failed: what was raised, by number, by episodes whose last try failed.
        hardware: what they were measured on, in all sittings.

    Raises:
        BenchError: if another process measures this run or has just finished it, the folder
            cannot be written, a resumed run differs in its setup or code (the difference is
            named), or the journal does not say any more what its rows were measured with.
    """

    def __init__(self, folder: Path, setup: Setup, resume: Resume = "resume") -> None:
        self.folder = folder
        self._setup = setup
        self._resume = resume
        self._path = folder / "journal.jsonl"

    def __enter__(self) -> "Journal":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = acquired(self.folder / ".lock").lock
        except Timeout:
            raise BenchError(f"another process is measuring into {self.folder}") from None
        except OSError as error:
            raise BenchError(f"cannot write to {self.folder}: {error.strerror}") from None
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # on a full disk this fails again
        finally:
            self._lock.release()

    def _open(self) -> None:
        # Whoever looked before the lock was held may have seen a journal that is finished now.
        if self._resume == "resume" and is_complete(self.folder):
            raise BenchError(
                f"{self.folder} was just finished by another process; the same command goes on"
            )
        found = read_journal(self._path)
        setup, code = self._setup.model_dump(mode="json"), environment.program()
        # What was begun and measured nothing binds nobody: its first batch may be what failed.
        if self._resume == "fresh" or not found.rows:
            kept_masks.forget(self.folder)  # before the journal is new
            found, self.sittings = Contents(), 1
        elif found.header is None:
            raise BenchError(
                f"{self._path} holds {len(found.rows)} episodes, but its first line is damaged and "
                f"does not say what measured them; start again with --fresh"
            )
        else:
            before = {**found.header["setup"], "code": found.header["code"]}
            check_same(self.folder, before, {**setup, "code": code})
            self.sittings = found.header["sittings"] + 1
        self.rows, self.failed, self.seconds = found.rows, found.failed, found.seconds
        self.hardware = found.hardware
        self._file = self._path.open("r+b" if found.end else "wb")
        self._file.seek(found.end)
        self._file.truncate()
        self._append({"setup": setup, "code": code, "sittings": self.sittings})

    def met(self, hardware: str) -> None:
        """Record what the rows that come next were measured on."""
        if hardware not in self.hardware:
            self.hardware.append(hardware)
            self._append({"hardware": hardware})

    def append(self, rows: Sequence[Row], seconds: float) -> None:
        """Add the rows of one batch and the time it took.

        When this returns they outlive this process, though not a power cut.
        """
        self.rows += rows
        self.seconds += seconds
        self._append({"rows": [row.entry() for row in rows], "seconds": round(seconds, 6)})
        for row in rows:
            self.failed.pop(row.episode, None)

    def fail(self, episode: int, reason: str) -> None:
        """Record that an episode could not be measured; the run then has no result."""
        self.failed[episode] = reason
        self._append({"failed": episode, "reason": reason})

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def counts(self) -> EpisodeCounts:
        """All rows so far, by episode number."""
        rows = sorted(self.rows, key=lambda row: row.episode)
        presence = [row.presence for row in rows]
        return EpisodeCounts(
            np.array([row.episode for row in rows], dtype=np.int64),
            np.array([row.class_id for row in rows], dtype=np.int64),
            np.array([row.areas for row in rows], dtype=np.int64).reshape(-1, 4),
            {
                name: np.array([row.further[name] for row in rows], dtype=np.int64)
                for name in further_counts(self._setup.metrics)
            },
            np.array(presence, dtype=np.float64) if rows and None not in presence else None,
        )

    def finish(self, record: RunRecord, queries: Sequence[str]) -> None:
        """Make the run whole.

        Args:
            record: what `run.json` shall say.
            queries: the query image of every episode number, for clustered intervals.

        Raises:
            BenchError: if an episode is missing or there twice.
        """
        counts = self.counts()
        if counts.episode.tolist() != list(range(record.setup.episodes.count)):
            raise BenchError(
                f"{self.folder}: {len(counts)} rows do not make the "
                f"{record.setup.episodes.count} episodes of the run; measure it again with --fresh"
            )
        times = {row.episode: row.milliseconds for row in self.rows}
        milliseconds = np.array([times[number] for number in counts.episode.tolist()], np.float32)
        write_table(self.folder / "episodes.parquet", counts, queries, milliseconds)
        write_record(self.folder / "run.json", record)
        for path in (self.folder / "episodes.parquet", self.folder / "run.json", self.folder):
            _sync(path)
        self._path.unlink()


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, would outlive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot do this with a folder
            raise
    finally:
        os.close(number)


def read_rows(folder: Path) -> tuple[list[Row], float]:
    """The rows in a folder's journal, and the seconds that measuring them took."""
    contents = read_journal(folder / "journal.jsonl")
    return contents.rows, contents.seconds


def is_begun(folder: Path) -> bool:
    """Whether a run in the folder was begun and not finished."""
    return (folder / "journal.jsonl").exists()


def is_complete(folder: Path) -> bool:
    """Whether the folder holds a finished result and no run that is under way."""
    return (folder / "run.json").is_file() and not is_begun(folder)
