"""Results that are kept in the repository: one small JSON a run, and its counts beside it.

`<root>/<dataset>/<protocol>/<model>/fold{f}_{k}shot.json` says what `run.json` says, without
paths of the machine, and the counts of each class. `fold{f}_{k}shot.parquet` holds the counts of
every episode, so that any two rows can be compared later by anyone, and where they may be shown
`fold{f}_{k}shot.predictions.parquet` the masks, so that anything else can be counted.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from benchmarks import (
    BenchError,
    EpisodeCounts,
    Result,
    RunKey,
    RunRecord,
    check_key,
    first_wrong,
    read_table,
    without_paths,
    write_table,
    write_whole,
)

SCHEMA = 1
T = TypeVar("T")
Areas = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class CommittedRecord(BaseModel):
    """What the JSON holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Annotated[int, Field(ge=SCHEMA, le=SCHEMA)] = SCHEMA
    run: RunRecord
    class_counts: dict[int, Areas] = Field(description="the columns of `COUNTS`, summed per class")
    counts_digest: str = Field(description="names class, query and counts of every episode")
    further_digest: str | None = Field(
        None, description="names what else is kept of every episode; None where nothing is"
    )


def committed_json(root: Path, key: RunKey) -> Path:
    """Where the JSON of a run is; its table differs in the suffix only."""
    return root / f"{key}.json"


def committed_masks(root: Path, key: RunKey) -> Path:
    """Where the masks of a run are, if they are kept: a table as runs keep it."""
    return committed_json(root, key).with_suffix(".predictions.parquet")


def read_beside(path: Path, take: Callable[[dict[str, Any]], T]) -> T:
    """What `take` makes of the JSON of a file beside the boards, or of {} where there is none.

    Raises:
        BenchError: if the file is damaged.
    """
    if not path.is_file():
        return take({})
    try:
        return take(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BenchError(f"{path} is damaged ({error}); take it from the repository") from None


def find_committed(root: Path) -> list[RunKey]:
    """Every run that has a JSON below the root, sorted."""
    keys = [
        RunKey.parse(path.relative_to(root).as_posix().removesuffix(".json"))
        for path in root.glob("*/*/*/*.json")
    ]
    return sorted(key for key in keys if key is not None)


def write_committed(root: Path, result: Result) -> tuple[Path, Path]:
    """Write both files of a run; the same result gives the same bytes.

    Raises:
        BenchError: if they cannot be written.
    """
    path = committed_json(root, result.key)
    table = path.with_suffix(".parquet")
    setup = result.record.setup
    model = setup.model.model_copy(update={"config": without_paths(setup.model.config)})
    record = CommittedRecord(
        run=result.record.model_copy(update={"setup": setup.model_copy(update={"model": model})}),
        class_counts=_class_counts(result),
        counts_digest=counts_digest(result.counts, result.queries),
        further_digest=further_digest(result.counts),
    )
    try:
        write_table(table, result.counts, result.queries, None)
        write_whole(path, record.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from None
    return path, table


def read_committed(root: Path, key: RunKey) -> Result:
    """Read a run's two files.

    Raises:
        BenchError: if one is missing or damaged, or they do not belong to each other.
    """
    path = committed_json(root, key)
    record = read_committed_record(path)
    check_key(key, record.run, path)
    table = read_table(path.with_suffix(".parquet"), record.run)
    result = Result(key, record.run, table.counts, table.queries, table.milliseconds)
    found = counts_digest(table.counts, table.queries), further_digest(table.counts)
    if found != (record.counts_digest, record.further_digest):
        raise BenchError(f"{path.with_suffix('.parquet')} is not the table that {path.name} names")
    if _class_counts(result) != record.class_counts:
        raise BenchError(f"the class counts in {path} are not those of its episodes")
    return result


def read_committed_record(path: Path) -> CommittedRecord:
    """Read a JSON.

    Raises:
        BenchError: naming the file and the first field that is wrong.
    """
    try:
        return parse_committed_record(path.read_bytes(), str(path))
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from None


def parse_committed_record(text: bytes, name: str) -> CommittedRecord:
    """Parse a JSON that is called `name`.

    Raises:
        BenchError: naming it and the first field that is wrong.
    """
    try:
        return CommittedRecord.model_validate_json(text)
    except ValidationError as error:
        raise BenchError(f"{name} is not a result: {first_wrong(error)}") from None


def counts_digest(counts: EpisodeCounts, queries: Sequence[str]) -> str:
    """sha256 of a line for each episode: class, query and the four counts, tab-separated."""
    rows = zip(counts.class_id.tolist(), queries, counts.areas.tolist(), strict=True)
    lines = ("\t".join(map(str, (index, query, *areas))) + "\n" for index, query, areas in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def further_digest(counts: EpisodeCounts) -> str | None:
    """sha256 of the names of further counts and `presence`, and a line for each episode.

    None without any. Numbers stand as Python prints them, so that every bit of them counts. Apart
    from `counts_digest`: to count something more leaves what was counted and verified.
    """
    if not counts.beside:
        return None
    rows = zip(*(own.tolist() for own in counts.beside.values()), strict=True)
    lines = ("\t".join(map(str, row)) + "\n" for row in (tuple(counts.beside), *rows))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _class_counts(result: Result) -> dict[int, Areas]:
    classes = list(result.record.setup.dataset.classes)
    sums = result.counts.class_areas(classes).tolist()
    return {index: (fi, fu, bi, bu) for index, (fi, fu, bi, bu) in zip(classes, sums, strict=True)}
