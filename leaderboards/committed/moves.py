"""Which rows of the boards a change of committed results moves."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks import RunKey
from leaderboards.committed.files import (
    CommittedRecord,
    committed_json,
    find_committed,
    parse_committed_record,
    read_committed_record,
)
from leaderboards.committed.history import committed_at

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
    rows: dict[Setting, dict[str, list[CommittedRecord]]] = defaultdict(lambda: defaultdict(list))
    for key, record in records:
        model = record.run.setup.model
        if model.comparable and model.kind in ("model", "predictions"):
            tier = "strict" if model.sees_test_classes == "no" else "generalist"
            rows[key.dataset, key.protocol, key.shots, tier][key.model].append(record)
    places = {}
    for setting, models in rows.items():
        mious = {
            model: fmean(record.run.miou for record in own)
            for model, own in models.items()
            if len(own) == len(own[0].run.setup.dataset.tested)
        }
        places[setting] = {
            model: (own, 1 + sum(other > own for other in mious.values()))
            for model, own in mious.items()
        }
    return places
