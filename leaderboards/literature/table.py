"""Published numbers as markdown, beside measured rows and never among them."""

from collections.abc import Sequence
from itertools import groupby

from leaderboards.literature.numbers import Reported, measured, published
from leaderboards.statistics.scores import Setting
from leaderboards.tables import wording
from leaderboards.tables.markdown import escape, table

PAGE = "reported.md"

_SHOTS = (1, 5)
_BLIND = ("floor", "oracle")


def reported_page(numbers: Sequence[Reported], settings: Sequence[Setting]) -> str:
    """All published numbers, dataset by dataset."""
    parts = [
        "# Reported in the literature",
        "As published: none of these numbers was measured by this suite, and they take no part in "
        "any ranking, because protocols differ. Where this suite has measured the same method by "
        "the same protocol, its figure stands beside it, with the difference and whether the "
        "published number lies within the interval. Figures in percent, folds in brackets; where "
        "no table is named, its number was not recorded.",
    ]
    for dataset in sorted({number.entry.dataset for number in numbers}):
        parts += [f"## {escape(dataset)}", *reported_tables(numbers, dataset, settings)]
        parts += floors_table(dataset, settings)
    return "\n\n".join(parts) + "\n"


def reported_tables(
    numbers: Sequence[Reported], dataset: str, settings: Sequence[Setting]
) -> list[str]:
    """The published numbers of one dataset: by setting, and how they were measured."""
    own = [number for number in numbers if number.entry.dataset == dataset]
    parts = []
    for setting in ("strict", "generalist", "text-prompted"):
        chosen = [number for number in own if number.entry.setting == setting]
        if chosen:
            parts += [f"**Reported, {setting}**", *_table(chosen, settings)]
    protocols = published().protocols
    used = sorted({number.entry.protocol for number in own})
    if used:
        lines = [f"- *{name}*: {escape(protocols[name].text)}" for name in used]
        parts += ["Protocols as published:", "\n".join(lines)]
    return parts


def floors_table(dataset: str, settings: Sequence[Setting]) -> list[str]:
    """What scores here without looking at any image, which no paper prints; nothing if not run."""
    own = [s for s in settings if s.dataset == dataset and s.limit is None]
    columns = [
        (f"{setting.protocol.name}, {wording.shot(setting.shots)}", floors)
        for setting in own
        if (floors := {r.model.name: r for r in setting.rows if r.model.kind in _BLIND})
    ]
    if not columns:
        return []
    names = list(dict.fromkeys(name for _, floors in columns for name in floors))
    body = [
        [
            name,
            *(
                wording.percent_interval(floors[name].miou) if name in floors else wording.NONE
                for _, floors in columns
            ),
        ]
        for name in names
    ]
    head = ["Floor or oracle", *(title for title, _ in columns)]
    return [
        "**What no image is needed for, measured here** (mIoU, 95%)",
        table(head, body, "l" + "r" * len(columns)),
    ]


def beside(number: Reported, settings: Sequence[Setting]) -> str:
    """What this suite measured of it, and whether that agrees."""
    row = measured(number, settings)
    if row is None or row.miou is None or number.miou is None:
        return wording.NONE
    difference = 100 * row.miou.value - number.miou
    held = number.miou / 100 in row.miou.interval
    return (
        f"{wording.marked(row, wording.percent_interval(row.miou))}, {difference:+.1f}, "
        f"{'within' if held else 'outside'} the interval"
    )


def _table(numbers: Sequence[Reported], settings: Sequence[Setting]) -> list[str]:
    entries = [list(group) for _, group in groupby(numbers, key=lambda number: number.entry)]
    entries.sort(key=lambda own: own[0].miou or 0, reverse=True)
    notes = list(dict.fromkeys(own[0].entry.note for own in entries if own[0].entry.note))
    rows = []
    for own in entries:
        entry, by_shots = own[0].entry, {number.shots: number for number in own}
        mark = f" [{notes.index(entry.note) + 1}]" if entry.note else ""
        answers = [(number.shots, beside(number, settings)) for number in own]
        found = [f"{wording.shot(k)}: {text}" for k, text in answers if text != wording.NONE]
        rows.append(
            [
                entry.name + mark,
                *(_figure(by_shots.get(shots)) for shots in _SHOTS),
                " / ".join(_percent(number.fb_iou) for number in own)
                if entry.fb_iou
                else wording.NONE,
                entry.protocol,
                own[0].source + (f", {entry.table}" if entry.table else ""),
                "; ".join(found) or wording.NONE,
            ]
        )
    head = ["Method", *map(wording.shot, _SHOTS), "FB-IoU", "Protocol", "Read in", "Measured here"]
    lines = [table(head, rows, "lllllll")]
    if notes:
        lines.append("\n".join(f"{i}. {escape(note)}" for i, note in enumerate(notes, 1)))
    return lines


def _figure(number: Reported | None) -> str:
    if number is None or number.miou is None:
        return wording.NONE
    folds = f" ({', '.join(map(str, number.folds))})" if number.folds else ""
    return f"{number.miou}{folds}"


def _percent(value: float | None) -> str:
    return wording.NONE if value is None else str(value)
