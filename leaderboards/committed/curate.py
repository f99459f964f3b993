"""What goes into the repository, and whether what is there still holds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import (
    BenchError,
    Mask,
    Result,
    RunKey,
    RunRecord,
    line_of,
    mask_of,
    other_option,
    read_masks,
    write_lines,
)
from leaderboards.committed.collect import LeftOut, agreeing
from leaderboards.committed.files import (
    committed_json,
    committed_masks,
    counts_digest,
    find_committed,
    read_committed,
    read_committed_record,
    write_committed,
)
from leaderboards.committed.verify import check_result
from leaderboards.statistics.scores import trained_alone


@dataclass(frozen=True)
class Check:
    """What a look at committed results found.

    Attributes:
        sound: how many results hold.
        problems: one line each.
    """

    sound: int
    problems: tuple[str, ...]


def add(
    results: Sequence[Result],
    root: Path,
    mask: Callable[[RunKey, int], Mask] | None = None,
) -> list[Path]:
    """Write the files of `results` for committing; nothing is written if one of them is refused.

    Args:
        results: of whole lists, and of every fold of each model and number of shots, or of the
            one fold that the model's weights are trained for.
        root: `leaderboards/results`.
        mask: gives the mask of an episode, where masks shall be kept beside the counts.

    Returns:
        The files, two a result, or three with its masks.

    Raises:
        BenchError: naming the result that must not be committed, and why; or an episode without a
            mask.
    """
    check_whole(results)
    there, _ = _read(root, {result.key for result in results})
    for stranger in agreeing([*there, *results])[1]:
        raise BenchError(f"{stranger.key} would not fit the committed results: {stranger.reason}")
    # All masks are read before anything is written, for one may be lacking; lines take little room.
    lines = [
        None
        if mask is None
        else [line_of(n, mask(own.key, n)) for n in own.counts.episode.tolist()]
        for own in results
    ]
    return [
        path
        for result, own in zip(results, lines, strict=True)
        for path in _write(root, result, own)
    ]


def _write(root: Path, result: Result, lines: Sequence[bytes] | None) -> Iterator[Path]:
    key, masks = result.key, committed_masks(root, result.key)
    if lines is None:
        before = committed_json(root, key)
        digest = read_committed_record(before).counts_digest if before.is_file() else None
        if digest != counts_digest(result.counts, result.queries):
            masks.unlink(missing_ok=True)  # masks that are there are of other counts
        yield from write_committed(root, result)
        return
    yield from write_committed(root, result)
    write_lines(masks, lines)
    yield masks


def check_whole(results: Sequence[Result]) -> None:
    """Refuse results that could not be committed anywhere.

    Raises:
        BenchError: naming the first of them, and why.
    """
    for result in results:
        try:
            check_result(result)
        except BenchError as error:
            raise BenchError(f"{result.key} cannot be committed: {error}") from None
        if result.record.setup.episodes.limit is not None:
            raise BenchError(
                f"{result.key} cannot be committed: only the first "
                f"{result.record.setup.episodes.limit} episodes were run; run it without --limit"
            )
    for problem in missing_folds(results):
        raise BenchError(f"{problem}; run the other folds first")
    for problem in other_options(results):
        raise BenchError(f"{problem}; measure them alike")


def check(root: Path) -> Check:
    """Read every committed result again, recompute its figures, and look whether masks fit it."""
    sound, problems = _read(root, set())
    kept, strangers = agreeing(sound)
    problems += [*_lines(strangers), *_wrong_masks(root, sound)]
    problems += [*missing_folds(kept), *other_options(kept)]
    problems += [
        f"{path}: belongs to no result; delete it, or add its other half" for path in _stray(root)
    ]
    return Check(len(kept), tuple(problems))


def missing_folds(results: Iterable[Result]) -> list[str]:
    """One line for every (model, shots) that lacks folds of its dataset and could have them."""
    lines = []
    for name, records in _rows(results):
        tested = records[0].setup.dataset.tested
        lacking = sorted(set(tested) - {record.setup.fold for record in records})
        if lacking and trained_alone(records) is None:
            lines.append(f"{name} lacks fold {', '.join(map(str, lacking))} of {len(tested)}")
    return lines


def other_options(results: Iterable[Result]) -> list[str]:
    """One line for every (model, shots) whose folds were measured with different options."""
    lines = []
    for name, records in _rows(results):
        found = (other_option(records[0].setup, record.setup) for record in records)
        other = next(filter(None, found), None)
        if other is not None:
            lines.append(f"{name} was measured with {other}")
    return lines


def _rows(results: Iterable[Result]) -> Iterator[tuple[str, list[RunRecord]]]:
    """The records of every (model, shots) with what to call it, in order."""
    found: dict[RunKey, list[RunRecord]] = defaultdict(list)
    for result in results:
        found[replace(result.key, fold=0)].append(result.record)
    for key, records in sorted(found.items()):
        yield f"{key.dataset}/{key.protocol}/{key.model}, {key.shots}-shot,", records


def _read(root: Path, without: set[RunKey]) -> tuple[list[Result], list[str]]:
    sound: list[Result] = []
    problems: list[str] = []
    for key in find_committed(root):
        if key in without:
            continue
        try:
            result = read_committed(root, key)
            check_result(result)
            if result.record.setup.episodes.limit is not None:
                raise BenchError("only part of the list was run")
            sound.append(result)
        except BenchError as error:
            problems.append(f"{key}: {error}")
    return sound, problems


def _wrong_masks(root: Path, results: Iterable[Result]) -> Iterator[str]:
    for result in results:
        path = committed_masks(root, result.key)
        try:
            if path.is_file():
                _check_masks(path, result)
        except BenchError as error:
            yield f"{result.key}: {error}; delete {path.name}, or add it again"


def _check_masks(path: Path, result: Result) -> None:
    """There must be one for each episode, with as many pixels of each kind as surely are so."""
    masks, episodes = read_masks(path), result.counts.episode.tolist()
    if masks.keys() != set(episodes):
        raise BenchError(f"{path} does not hold the masks of its {len(episodes)} episodes")
    for number, (hit, _, spared, _) in zip(episodes, result.counts.areas.tolist(), strict=True):
        mask = mask_of(masks[number])
        foreground = int(mask.sum())
        if foreground < hit or mask.size - foreground < spared:
            raise BenchError(f"the mask of episode {number} in {path} does not fit its counts")


def _lines(left_out: Iterable[LeftOut]) -> list[str]:
    return [f"{out.key}: {out.reason}" for out in left_out]


def _stray(root: Path) -> list[Path]:
    """Files that are neither half of a committed result."""
    expected = set()
    for key in find_committed(root):
        path = committed_json(root, key)
        expected |= {path, path.with_suffix(".parquet"), committed_masks(root, key)}
    found = {path for path in root.rglob("*") if path.is_file()}
    return sorted(found - expected)
