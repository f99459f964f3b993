"""Which rows of the boards a change of committed results moves."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks import RunKey, RunRecord
from leaderboards.committed.files import (
    CommittedRecord,
    committed_json,
    find_committed,
    parse_committed_record,
    read_committed_record,
)
from leaderboards.committed.history import committed_at
from leaderboards.statistics.scores import have_mean, is_strict, may_compete

Setting = tuple[str, str, int, str]  # dataset, protocol, shots and tier
Place = tuple[float, int]  # mIoU in 0..1, and the place by it


@dataclass(frozen=True)
class Move:
    """A row that is new, gone, or has another figure or place; None where it is not there."""

    setting: Setting
    model: str
    before: Place | None
    after: Place | None


def moves(boards: Path, ref: str) -> Iterator[Move]:
    """Every row with all folds that differs between `ref` and now, in the order of the boards.

    Raises:
        BenchError: if `boards` is in no repository, `ref` is not in it, or a file is damaged.
    """
    root = boards / "results"
    now = _places(
        (key, read_committed_record(committed_json(root, key))) for key in find_committed(root)
    )
    then = _places(
        (key, parse_committed_record(text, f"{ref}:{key}.json"))
        for key, text in committed_at(boards, ref)
    )
    for setting in sorted(now.keys() | then.keys()):
        old, new = then.get(setting, {}), now.get(setting, {})
        for model in sorted(old.keys() | new.keys(), key=lambda own: _order(new, old, own)):
            if old.get(model) != new.get(model):
                yield Move(setting, model, old.get(model), new.get(model))


def _order(new: dict[str, Place], old: dict[str, Place], model: str) -> tuple[int, str]:
    return (new.get(model) or old[model])[1], model


def _places(
    records: Iterable[tuple[RunKey, CommittedRecord]],
) -> dict[Setting, dict[str, Place]]:
    runs: dict[tuple[str, str, int], dict[str, list[RunRecord]]]
    runs = defaultdict(lambda: defaultdict(list))
    for key, record in records:
        runs[key.dataset, key.protocol, key.shots][key.model].append(record.run)
    mious: dict[Setting, dict[str, float]] = defaultdict(dict)
    for place, models in runs.items():
        for model, own in models.items():
            if may_compete(own) and have_mean(own):
                tier = "strict" if is_strict(own) else "generalist"
                mious[*place, tier][model] = fmean(run.miou for run in own)
    return {
        setting: {
            model: (own, 1 + sum(other > own for other in every.values()))
            for model, own in every.items()
        }
        for setting, every in mious.items()
    }
