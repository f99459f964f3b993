"""The results store: one folder a run, resumable and whole or absent.

While a run goes on, its folder holds `journal.jsonl` (`benchmarks.results.journal`). At the end the
rows become `episodes.parquet`, `run.json` is written, and the journal goes last, when both are on
the disk. Episodes that failed are tried again on resume; a run that lacks one has no result.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.results.journal import is_complete, read_journal
from benchmarks.results.records import RunRecord, Setup, read_record
from benchmarks.results.table import Milliseconds, read_table


@dataclass(frozen=True, order=True)
class RunKey:
    """The place of one result in the store."""

    dataset: str
    protocol: str
    model: str
    fold: int
    shots: int

    def folder(self, results_root: Path) -> Path:
        """`<dataset>/<protocol>/<model>/fold{f}_{k}shot` below the root."""
        return results_root / str(self)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.model}/fold{self.fold}_{self.shots}shot"

    @classmethod
    def parse(cls, text: str) -> "RunKey | None":
        """The key that `str` writes so; None for any other text."""
        match = re.fullmatch(r"([^/]+)/([^/]+)/([^/]+)/fold(0|[1-9]\d*)_([1-9]\d*)shot", text)
        if match is None:
            return None
        dataset, protocol, model, fold, shots = match.groups()
        return cls(dataset, protocol, model, int(fold), int(shots))


def protocol_folder(protocol: str, limit: int | None) -> str:
    """The folder of a protocol's results; those of cut lists never mix with whole ones."""
    return protocol if limit is None else f"{protocol}-first{limit}"


@dataclass(frozen=True)
class Result:
    """A finished run as read back.

    Attributes:
        key: its place.
        record: its `run.json`.
        counts: of every episode, by episode number.
        queries: the query image of every episode.
        milliseconds: the time of every episode; None where it was not kept.
    """

    key: RunKey
    record: RunRecord
    counts: EpisodeCounts
    queries: tuple[str, ...]
    milliseconds: Milliseconds | None


@dataclass(frozen=True)
class Unfinished:
    """A run that was begun and has no result yet.

    Attributes:
        key: its place.
        episodes: how many it has.
        measured: how many of them are measured.
        failed: what the model raised, by episode number, where the last try failed.
        outside: whether masks of another program were scored.
    """

    key: RunKey
    episodes: int
    measured: int
    failed: Mapping[int, str]
    outside: bool = False

    def __str__(self) -> str:
        said = f"unfinished: {self.measured} of {self.episodes} episodes are measured"
        return f"{said}, {len(self.failed)} failed" if self.failed else said

    @property
    def mend(self) -> str:
        """What makes a result of it."""
        return (
            "score the masks again with bench score"
            if self.outside
            else "bench run goes on with it"
        )


def previous_setup(folder: Path) -> Setup | None:
    """The setup of a finished run, or of one that was begun; None where nothing is measured.

    Raises:
        BenchError: if `run.json` is damaged.
    """
    if is_complete(folder):
        return read_record(folder / "run.json").setup
    begun = read_journal(folder / "journal.jsonl")
    try:
        return Setup.model_validate(begun.header["setup"]) if begun.header and begun.rows else None
    except ValidationError:
        return None


def find_unfinished(results_root: Path) -> list[Unfinished]:
    """Every run below the root that was begun and has no result, sorted by key."""
    found = []
    for path in results_root.glob("*/*/*/fold*_*shot/journal.jsonl"):
        key = RunKey.parse(path.parent.relative_to(results_root).as_posix())
        unfinished = None if key is None else read_unfinished(results_root, key)
        if unfinished is not None:
            found.append(unfinished)
    return sorted(found, key=lambda unfinished: unfinished.key)


def read_unfinished(results_root: Path, key: RunKey) -> Unfinished | None:
    """How far a run has come; None if it is finished or was never begun."""
    contents = read_journal(key.folder(results_root) / "journal.jsonl")
    try:
        setup = (contents.header or {})["setup"]
        episodes = int(setup["episodes"]["count"])
        outside = setup["model"]["kind"] == "predictions"
    except (KeyError, TypeError, ValueError):
        return None
    return Unfinished(key, episodes, len(contents.rows), contents.failed, outside)


def read_result(results_root: Path, key: RunKey) -> Result:
    """Read a finished run.

    Raises:
        BenchError: if a file is missing, damaged, or does not belong to the other.
    """
    folder = key.folder(results_root)
    record = read_record(folder / "run.json")
    check_key(key, record, folder / "run.json")
    table = read_table(folder / "episodes.parquet", record)
    return Result(key, record, table.counts, table.queries, table.milliseconds)


def check_key(key: RunKey, record: RunRecord, path: Path) -> None:
    """Refuse a record that lies in the place of another run.

    Raises:
        BenchError: naming the file and the run that it is of.
    """
    setup = record.setup
    protocol = protocol_folder(setup.protocol.name, setup.episodes.limit)
    own = RunKey(setup.dataset.name, protocol, setup.model.name, setup.fold, setup.shots)
    if own != key:
        raise BenchError(f"{path} is the result of another run, {own}")


def find_runs(results_root: Path) -> list[RunKey]:
    """Every finished run below the root, sorted."""
    keys = []
    for path in results_root.glob("*/*/*/fold*_*shot/run.json"):
        key = RunKey.parse(path.parent.relative_to(results_root).as_posix())
        if key is not None and is_complete(path.parent):
            keys.append(key)
    return sorted(keys)
