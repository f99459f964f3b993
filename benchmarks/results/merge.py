"""Shards that were measured apart, made into whole results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.results import kept_masks
from benchmarks.results.agreement import differences
from benchmarks.results.describe import make_record
from benchmarks.results.journal import Journal, is_complete, read_rows
from benchmarks.results.records import Course, RunRecord
from benchmarks.results.shards import FoundShard, Shard, find_shards, read_found
from benchmarks.results.store import RunKey, previous_setup, read_result

_NAMED = 5  # shards that a message names


@dataclass(frozen=True)
class Merged:
    """A run made of its shards.

    Attributes:
        key: its place.
        shards: how many it was made of; 0 where the result was there already.
        record: its numbers.
    """

    key: RunKey
    shards: int
    record: RunRecord


def merge(results_root: Path, others: Sequence[Path] = ()) -> list[Merged]:
    """Make every run whole of which there are shards; nothing is written unless all can be.

    Args:
        results_root: the store that gets the results; its shards are merged too.
        others: further stores with shards.

    Raises:
        BenchError: naming stores of `others` that are not there, shards that are missing, not
            finished, there twice, or measured with another setup or other code, and results that
            are in their way.
    """
    absent = ", ".join(str(path) for path in others if not path.is_dir())
    if absent:
        raise BenchError(f"there is no folder {absent}; name the results stores that hold shards")
    found: dict[RunKey, list[tuple[Shard, Path]]] = {}
    for root in dict.fromkeys(path.resolve() for path in (results_root, *others)):
        for key, shard, folder in find_shards(root):
            found.setdefault(key, []).append((shard, folder))
    if not found:
        places = ", ".join(map(str, (results_root, *others)))
        raise BenchError(f"there are no shards in {places}; measure them with: bench run --shard")
    wrong: list[str] = []
    ready: list[tuple[RunKey, list[FoundShard], RunRecord | None]] = []
    for key, own in sorted(found.items()):
        try:
            shards = _complete(key, own)
            ready.append((key, shards, _there(results_root, key, shards)))
        except BenchError as error:
            wrong.append(str(error))
    if wrong:
        raise BenchError("\n".join(wrong))
    return [
        Merged(key, 0, there) if there is not None else _merged(results_root, key, shards)
        for key, shards, there in ready
    ]


def _complete(key: RunKey, found: Sequence[tuple[Shard, Path]]) -> list[FoundShard]:
    """The shards of a run, in order, if they make it whole.

    Raises:
        BenchError: if they do not.
    """
    counts = sorted({shard.count for shard, _ in found})
    if len(counts) > 1:
        raise BenchError(
            f"{key} was cut into {' and into '.join(map(str, counts))} shards; remove the folders "
            f"of one kind, such as {found[0][1]}"
        )
    folders: dict[int, Path] = {}
    for shard, folder in found:
        if shard.index in folders:
            raise BenchError(
                f"{key}: shard {shard} is there twice, {folders[shard.index]} and {folder}; "
                f"merge without one of them"
            )
        folders[shard.index] = folder
    read = {index: read_found(folder) for index, folder in folders.items()}
    lacking = [index for index in range(1, counts[0] + 1) if read.get(index) is None]
    if lacking:
        named = ", ".join(f"{index}/{counts[0]}" for index in lacking[:_NAMED])
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        raise BenchError(
            f"{key}: not measured to the end: shard {named}{more}; run: bench run ... --shard "
            f"{lacking[0]}/{counts[0]}"
        )
    shards = [own for index in sorted(read) if (own := read[index]) is not None]
    _check_alike(key, shards)
    episodes = sorted(number for own in shards for number in own.record.queries)
    count = shards[0].record.setup.episodes.count
    if episodes != list(range(count)):
        raise BenchError(
            f"{key}: the {len(episodes)} episodes of its shards do not make the {count} of the "
            f"run; measure them again with --fresh"
        )
    return shards


def _check_alike(key: RunKey, shards: Sequence[FoundShard]) -> None:
    first = shards[0]
    for other in shards[1:]:
        pairs = [
            *differences(
                first.record.setup.model_dump(mode="json"),
                other.record.setup.model_dump(mode="json"),
            ),
            *differences({"code": first.record.code}, {"code": other.record.code}),
        ]
        for name, old, new in pairs:
            mend = "measure one of them again with --fresh"
            if name == "batch_size":  # a device too small for the larger would halve it again
                larger = first if old > new else other
                mend = f"measure shard {larger} again with --fresh --batch-size {min(old, new)}"
            raise BenchError(
                f"{key}: shard {first} was measured with {name} = {old!r}, shard {other} with "
                f"{new!r}; {mend}"
            )


def _there(results_root: Path, key: RunKey, shards: Sequence[FoundShard]) -> RunRecord | None:
    """The result, where it is there already.

    Raises:
        BenchError: if it is damaged, or the run was finished or begun with another setup; more may
            have been counted of a result since.
    """
    folder = key.folder(results_root)
    try:
        before = previous_setup(folder)
        record = read_result(results_root, key).record if is_complete(folder) else None
    except BenchError as error:
        raise BenchError(f"{error}; remove {folder / 'run.json'} to merge the run again") from None
    if before is not None:
        setup = shards[0].record.setup
        if record is not None and {*setup.metrics} <= {*before.metrics}:
            before = before.model_copy(update={"metrics": setup.metrics})
        for name, old, new in differences(
            before.model_dump(mode="json"), setup.model_dump(mode="json")
        ):
            raise BenchError(
                f"{folder} holds a run with {name} = {old!r}, the shards have {new!r}; remove what "
                f"is not wanted"
            )
    return record


def _merged(results_root: Path, key: RunKey, shards: Sequence[FoundShard]) -> Merged:
    folder, setup = key.folder(results_root), shards[0].record.setup
    with Journal(folder, setup, "fresh") as journal:
        queries: dict[int, str] = {}
        for own in shards:
            rows, seconds = read_rows(own.folder)
            journal.append(rows, seconds)
            queries |= own.record.queries
        kept_masks.gather([own.folder for own in shards], folder)
        journal.sittings = max(own.record.sittings for own in shards)
        record = make_record(setup, journal, _course([own.record.course for own in shards]))
        journal.finish(record, [queries[row] for row in sorted(queries)])
    return Merged(key, len(shards), record)


def _course(courses: Sequence[Course]) -> Course:
    """How the measuring of all shards went together; their code is the same."""
    caches = [course.cache for course in courses if course.cache is not None]
    stages = [course.stages for course in courses if course.stages is not None]
    return courses[0].model_copy(
        update={
            "started": min(course.started for course in courses),
            "hardware": " + ".join(sorted({course.hardware for course in courses})),
            "peak_memory_bytes": max(course.peak_memory_bytes for course in courses),
            "cache": sum(caches[1:], caches[0]) if caches else None,
            "stages": sum(stages[1:], stages[0]) if stages else None,
            "workers": sum(course.workers for course in courses),
        }
    )
