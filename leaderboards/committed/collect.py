"""Which results a board may hold: sound ones that were measured on the same data and episodes.

Published episode lists are known by their digests. Of other lists and of datasets the board knows
what committed results say. Where there are none, the digest that more models have is taken for the
right one, and of two equally common ones the one that was measured last. Results with another
digest are left out and named.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    BenchError,
    Result,
    RunKey,
    find_runs,
    find_unfinished,
    is_complete,
    read_result,
)
from leaderboards.committed.files import committed_json, find_committed, read_committed
from leaderboards.committed.select import select
from leaderboards.committed.verify import check_result


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

    def named(self, names: Iterable[str], **only: object) -> list[Result]:
        """What `names` mean, see `select`, of the runs whose key has `only`; None for anything.

        Raises:
            BenchError: if a name means none, or a result is damaged.
        """
        runs = self.runs()
        wanted = {field: value for field, value in only.items() if value is not None}
        fits = [
            key
            for key in runs
            if all(value == getattr(key, field) for field, value in wanted.items())
        ]
        if runs and not fits:
            said = ", ".join(f"{field} {value}" for field, value in wanted.items())
            raise BenchError(f"there is no result of {said}; bench leaderboard lists what there is")
        try:
            keys = dict.fromkeys(key for name in names for key in select(fits, name))
        except BenchError as error:
            if self.committed.is_dir():
                raise
            raise BenchError(
                f"{error}; there are no committed results here ({self.committed}), see --boards"
            ) from None
        return [self.read(key) for key in keys]

    def read_committed(self, key: RunKey) -> Result | None:
        """Read a committed result; None where there is none.

        Raises:
            BenchError: if it is damaged.
        """
        if committed_json(self.committed, key).is_file():
            return read_committed(self.committed, key)
        return None

    def read(self, key: RunKey) -> Result:
        """Read a result; of a run that is in both places, the one that was measured later.

        Raises:
            BenchError: if it is damaged.
        """
        return self._later(key, self.read_committed(key))

    def _later(self, key: RunKey, committed: Result | None) -> Result:
        found = [] if committed is None else [committed]
        if is_complete(key.folder(self.store)):
            found.append(read_result(self.store, key))
        return max(found, key=lambda result: result.record.started)

    def read_both(self, key: RunKey) -> tuple[Result, Result | None]:
        """What `read` gives, and the committed result where there is one.

        Raises:
            BenchError: if one is damaged.
        """
        committed = self.read_committed(key)
        return self._later(key, committed), committed


def collect(places: Places) -> Collection:
    """Read every result and keep those that are sound and belong together.

    Runs that were begun and have no result, for episodes that failed or because they were
    interrupted, are left out by name.
    """
    sound: list[Result] = []
    reference: list[Result] = []
    left_out: list[LeftOut] = []
    finished = places.runs()
    for run in find_unfinished(places.store):
        if run.key not in finished:
            left_out.append(LeftOut(run.key, f"{run}; {run.mend}"))
    for key in finished:
        try:
            result, committed = places.read_both(key)
            if committed is not None:
                check_result(committed)
                reference.append(committed)
            if result is not committed:
                check_result(result)
            sound.append(result)
        except BenchError as error:
            left_out.append(LeftOut(key, str(error)))
    kept, strangers = agreeing(sound, reference)
    return Collection(tuple(kept), tuple(sorted([*left_out, *strangers])))


def agreeing(
    results: Iterable[Result], reference: Sequence[Result] = ()
) -> tuple[list[Result], list[LeftOut]]:
    """Keep the results that share dataset, episode lists and episodes with the right ones.

    Args:
        results: what to look at.
        reference: results that are right; what none of them speaks of, the most models decide.

    Returns:
        Those that agree, and those that do not.
    """
    kept, left_out = list(results), []
    for rule in _RULES:
        kept, strangers = _split(kept, reference, rule)
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


def _bound_to(result: Result) -> Hashable:
    return result.key.dataset, result.record.setup.dataset.labels_alone


def _labelled(result: Result) -> Hashable:
    return result.key.dataset, result.record.setup.dataset.labels_digest is not None


def _labels_digest(result: Result) -> str:
    return result.record.setup.dataset.labels_digest or ""


def _list(result: Result) -> Hashable:
    return (*_dataset_and_protocol(result), result.key.fold, result.key.shots)


def _dataset_and_protocol(result: Result) -> tuple[str, str]:
    return result.key.dataset, result.record.setup.protocol.name


def _cut_list(result: Result) -> Hashable:
    return _list(result), result.record.setup.episodes.limit


@dataclass(frozen=True)
class _Rule:
    """Results of one `group` must have the same `value`."""

    what: str
    group: Callable[[Result], Hashable]
    value: Callable[[Result], str]


_RULES = (
    # What reads no pixels is bound to labels and lists, which all that have such a digest share.
    _Rule("dataset", _bound_to, lambda result: result.record.setup.dataset.digest),
    _Rule("set of labels and lists", _labelled, _labels_digest),
    _Rule("episode list", _list, lambda result: result.record.setup.episodes.digest),
    _Rule("set of queries, classes and pixels", _cut_list, episodes_digest),
)


def _split(
    results: list[Result], reference: Sequence[Result], rule: _Rule
) -> tuple[list[Result], list[LeftOut]]:
    """Part the results that have the right value of their group from those that do not."""
    values = [rule.value(result) for result in results]
    right = _common(results, values, rule)
    right |= _common(reference, [rule.value(result) for result in reference], rule)
    kept, left_out = [], []
    for result, own in zip(results, values, strict=True):
        wanted = right[rule.group(result)]
        if own == wanted:
            kept.append(result)
        else:
            reason = f"measured on {rule.what} {own[:16]}, the board's is {wanted[:16]}"
            left_out.append(LeftOut(result.key, f"{reason}; measure it again"))
    return kept, left_out


def _common(results: Sequence[Result], values: Sequence[str], rule: _Rule) -> dict[Hashable, str]:
    """The value of each group that the most models have."""
    groups: dict[Hashable, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result, own in zip(results, values, strict=True):
        groups[rule.group(result)][own].append(result)

    def weight(found: list[Result]) -> tuple[int, str]:
        models = {result.key.model for result in found}
        return len(models), max(result.record.started for result in found)

    return {name: max(found, key=lambda own: weight(found[own])) for name, found in groups.items()}
