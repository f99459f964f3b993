"""Which results a board may hold: sound ones that were measured on the same data and episodes.

The board knows datasets and episode lists by what results say of them. Among results that
disagree, the digest that more models have is taken for the right one, and of two equally common
ones the one that was measured last. Results with another digest are left out and named.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.store import (
    Result,
    RunKey,
    find_runs,
    find_unfinished,
    is_complete,
    read_result,
)
from leaderboards.committed import committed_json, find_committed, read_committed
from leaderboards.verify import check_result


@dataclass(frozen=True, order=True)
class LeftOut:
    """A result that is not on the board, and why."""

    key: RunKey
    reason: str


@dataclass(frozen=True)
class Collection:
    """What was found."""

    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Places:
    """Where results are.

    Attributes:
        store: a results store.
        committed: results that are kept in a repository.
    """

    store: Path
    committed: Path

    def runs(self) -> list[RunKey]:
        """Every result in either place, sorted."""
        return sorted({*find_runs(self.store), *find_committed(self.committed)})

    def read(self, key: RunKey) -> Result:
        """Read a result; of a run that is in both places, the one that was measured later.

        Raises:
            BenchError: if it is damaged.
        """
        found = []
        if committed_json(self.committed, key).is_file():
            found.append(read_committed(self.committed, key))
        if is_complete(key.folder(self.store)):
            found.append(read_result(self.store, key))
        return max(found, key=lambda result: result.record.started)


def collect(places: Places) -> Collection:
    """Read every result and keep those that are sound and belong together.

    Runs that were begun and have no result, for episodes that failed or because they were
    interrupted, are left out by name.
    """
    sound: list[Result] = []
    left_out: list[LeftOut] = []
    finished = places.runs()
    for run in find_unfinished(places.store):
        if run.key not in finished:
            left_out.append(LeftOut(run.key, f"{run}; bench run goes on with it"))
    for key in finished:
        try:
            result = places.read(key)
            check_result(result)
            sound.append(result)
        except BenchError as error:
            left_out.append(LeftOut(key, str(error)))
    kept, strangers = agreeing(sound)
    return Collection(tuple(kept), tuple(sorted([*left_out, *strangers])))


def agreeing(results: Iterable[Result]) -> tuple[list[Result], list[LeftOut]]:
    """Keep the results that share dataset, episode lists and episodes with the most models."""
    kept, left_out = list(results), []
    for what, group, value in _RULES:
        kept, strangers = _split(kept, what, group, value)
        left_out += strangers
    return kept, left_out


def episodes_digest(result: Result) -> str:
    """Names what is the same for every model: each episode's class, query and scored pixels."""
    areas = result.counts.areas
    rows = zip(
        result.counts.class_id.tolist(),
        result.queries,
        (areas[:, 0] + areas[:, 3]).tolist(),
        strict=True,
    )
    text = "".join(f"{class_id}\t{query}\t{pixels}\n" for class_id, query, pixels in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def _dataset(result: Result) -> Hashable:
    return result.key.dataset


def _list(result: Result) -> Hashable:
    return (*_dataset_and_protocol(result), result.key.fold, result.key.shots)


def _dataset_and_protocol(result: Result) -> tuple[str, str]:
    return result.key.dataset, result.record.setup.protocol.name


def _cut_list(result: Result) -> Hashable:
    return _list(result), result.record.setup.episodes.limit


_Rule = tuple[str, Callable[[Result], Hashable], Callable[[Result], str]]
_RULES: tuple[_Rule, ...] = (
    ("dataset", _dataset, lambda result: result.record.setup.dataset.digest),
    ("episode list", _list, lambda result: result.record.setup.episodes.digest),
    ("set of queries, classes and pixels", _cut_list, episodes_digest),
)


def _split(
    results: list[Result],
    what: str,
    group: Callable[[Result], Hashable],
    value: Callable[[Result], str],
) -> tuple[list[Result], list[LeftOut]]:
    """Part those whose `value` is the reference of their `group` from those where it is not."""
    values = [value(result) for result in results]
    groups: dict[Hashable, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result, own in zip(results, values, strict=True):
        groups[group(result)][own].append(result)
    reference = {
        name: max(found, key=lambda own: _weight(found[own])) for name, found in groups.items()
    }
    kept, left_out = [], []
    for result, own in zip(results, values, strict=True):
        right = reference[group(result)]
        if own == right:
            kept.append(result)
        else:
            reason = f"measured on {what} {own[:16]}, the board's is {right[:16]}; measure it again"
            left_out.append(LeftOut(result.key, reason))
    return kept, left_out


def _weight(results: list[Result]) -> tuple[int, str]:
    models = {result.key.model for result in results}
    return len(models), max(result.record.started for result in results)
