"""`index.html`: the boards as one file that needs nothing but a browser."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import Figure, Gallery
from leaderboards.committed.gallery import gallery_data
from leaderboards.literature.numbers import Reported
from leaderboards.page.provenance import NOTHING, Known, provenance
from leaderboards.statistics.across import Across, across
from leaderboards.statistics.scores import Row, Setting
from leaderboards.statistics.shots import Curves, shot_curves
from leaderboards.statistics.sizes import BANDS, miou_by_size
from leaderboards.tables import wording
from leaderboards.tables.across import averaged, cell, mean_rank, named
from leaderboards.tables.shots import HEADS, READ_PLAIN, answers

_MARK = re.compile(r"/\* ([A-Z]+) \*/")
_WEB = Path(__file__).with_name("web")


def board_data(
    settings: Sequence[Setting], numbers: Iterable[Reported], known: Known = NOTHING
) -> dict[str, Any]:
    """Everything that the page shows, as JSON; figures as [value, low, high] in percent."""
    return {
        "settings": [_setting(setting, known) for setting in settings],
        "across": [_across(found) for found in across(settings)],
        "curves": [_curves(found) for found in shot_curves(settings)],
        "reported": [_reported(number) for number in numbers],
    }


def to_json(data: Mapping[str, Any]) -> str:
    """The data as text that can stand inside a script element: no name can end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def html(data: Mapping[str, Any], gallery: Gallery) -> str:
    """The page with its styles, scripts, data and pictures in it."""
    scripts = (_read("plots.js").strip(), _read("board.js").strip())
    parts = {"SCRIPT": "\n".join(scripts), "DATA": to_json(data)}
    return fill("index.html", parts | {"GALLERY": to_json(gallery_data(gallery))})


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A page of `web/` with the common style and `parts` where their names stand.

    Everything is put in at once, so that no part can name another.
    """
    texts = {"STYLE": _read("board.css").strip(), **parts}
    return _MARK.sub(lambda mark: texts[mark[1]], _read(template))


def _read(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _setting(setting: Setting, known: Known) -> dict[str, Any]:
    return {
        "dataset": setting.dataset,
        "protocol": setting.protocol.name,
        "shots": setting.shots,
        "limit": setting.limit,
        "folds": list(setting.folds),
        "parts": list(map(setting.part, setting.folds)),
        "classes": [
            [
                setting.part(fold),
                [[str(index), name] for index, name in record.setup.dataset.classes.items()],
            ]
            for fold, record in sorted(setting.records.items())
            if not setting.parts
        ],
        "facts": _facts(setting),
        "rows": [_row(setting, row, known) for row in setting.rows],
    }


def _facts(setting: Setting) -> dict[str, str]:
    protocol, records = setting.protocol, sorted(setting.records.items())
    digests = {
        f"Digest of {setting.part(fold)}": record.setup.dataset.digest for fold, record in records
    }
    dataset = setting.data
    what = "Digest of labels and lists" if dataset.labels_alone else "Dataset digest"
    alone = {what: dataset.digest, "Fold lists": dataset.lists}
    return {
        "Protocol": protocol.name,
        "Seed": protocol.seed,
        "Resolution": protocol.resolution,
        "Ignored pixels": protocol.ignore,
        "Classes that no episode drew": "count as 0" if protocol.undrawn == "zero" else "left out",
        "Aggregation": protocol.aggregation,
        **(digests if setting.parts else alone),
        **{
            f"Episodes of {setting.part(fold)}": f"{record.setup.episodes.count}, list digest "
            f"{record.setup.episodes.digest}"
            for fold, record in records
        },
    }


def _row(setting: Setting, row: Row, known: Known) -> dict[str, Any]:
    setups = [record.setup for record in row.records]
    classes = {
        str(index): _figure(figure)
        for score in row.folds.values()
        for index, figure in score.class_iou.items()
    }
    own = provenance(row, known)
    sizes = [
        f"{band.name} {100 * value:.1f}"
        for band, value in zip(BANDS, miou_by_size(setting, row), strict=False)
        if value is not None
    ]
    own["facts"] |= {"mIoU by object size": ", ".join(sizes)} if sizes else {}
    return {
        "name": row.model.name,
        "title": row.model.title,
        "kind": row.model.kind,
        "comparable": all(setup.model.comparable for setup in setups),
        "strict": row.strict,
        "marks": list(row.marks),
        "rank": setting.ranks.get(row.model.name),
        "miou": _figure(row.miou),
        "fb_iou": _figure(row.fb_iou),
        "folds": {str(fold): _figure(score.miou) for fold, score in sorted(row.folds.items())},
        "classes": classes,
        "ms": None if row.milliseconds is None else round(row.milliseconds, 3),
        "parameters": row.model.parameters,
        "seen": wording.seen_classes(row, known.training),
        "text": wording.text_prompts(row),
        "hardware": wording.distinct(record.hardware for record in row.records),
        "dtype": wording.distinct(setup.dtype for setup in setups),
        "weights": wording.distinct(wording.prefix(s.model.weights_digest) for s in setups),
        "date": row.date,
        "provenance": own,
    }


def _across(found: Across) -> dict[str, Any]:
    return {
        "protocol": found.protocol,
        "shots": found.shots,
        "strict": found.strict,
        "datasets": found.datasets,
        "note": averaged(found),
        "rows": [
            {
                "name": named(row),
                "rank": mean_rank(row),
                "cells": {name: cell(row, name) for name in found.datasets},
            }
            for row in found.rows
        ],
    }


def _curves(found: Curves) -> dict[str, Any]:
    """A tier's curves: figures for programs, and `answers` as they are written below `heads`."""
    return {
        "dataset": found.dataset,
        "protocol": found.protocol,
        "strict": found.strict,
        "shots": found.shots,
        "heads": HEADS,
        "note": READ_PLAIN,
        "rows": [
            {
                "name": own.last.model.name,
                "miou": {str(shots): _figure(figure) for shots, figure in own.mious.items()},
                "slope": _figure(own.slope),
                "reached": _figure(own.reached),
                "saturation": own.saturation,
                "left": _figure(own.left),
                "answers": answers(own),
            }
            for own in found.curves
        ],
    }


def _figure(figure: Figure | None) -> list[float] | None:
    if figure is None:
        return None
    values = (figure.value, figure.interval.low, figure.interval.high)
    # Far more digits than are shown, or rounding twice would show another last one.
    return [round(100 * value, 4) for value in values]


def _reported(number: Reported) -> dict[str, Any]:
    entry = number.entry
    return {
        "method": entry.name,
        "dataset": entry.dataset,
        "setting": entry.setting,
        "shots": number.shots,
        "miou": number.miou,
        "fb_iou": number.fb_iou,
        "protocol": number.protocol,
        "source": number.source + (f", {entry.table}" if entry.table else ""),
        "note": entry.note,
    }
