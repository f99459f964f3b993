"""The rows that a visitor looks for: what was measured here beside what is only reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leaderboards.literature.numbers import Reported, measured
from leaderboards.statistics.scores import Row, Setting
from leaderboards.tables import wording
from leaderboards.tables.markdown import Markup, escape, table

DATASETS: Mapping[str, str] = {
    "pascal": "PASCAL-5i",
    "coco": "COCO-20i",
    "fss1000": "FSS-1000",
    "isic2018": "ISIC 2018",
    "chestxray": "Chest X-ray",
    "deepglobe": "DeepGlobe",
}
_SHOTS = (1, 5)
_INTRO = (
    "mIoU in percent, 1-shot / 5-shot. **Bold, with ᵐ**: measured here, by this suite's protocol "
    "of that name. *Italic, with ʳ*: only reported by others, by the protocol that they name. The "
    "two are not ranked against each other, because protocols differ: rows stand by name."
)
_TIERS = ("strict", "generalist", "text-prompted")


@dataclass
class _Line:
    """One row of the table; figures by dataset and shots, each with whether it was measured."""

    method: str
    tier: str
    protocol: str
    figures: dict[tuple[str, int], tuple[str, bool]] = field(default_factory=dict)


def side_by_side(settings: Sequence[Setting], numbers: Sequence[Reported]) -> list[str]:
    """The heading, the table and how it is read.

    A number of the literature makes way where the same method was measured on the same data by
    the same protocol.
    """
    lines: dict[tuple[str, str, str], _Line] = {}
    placed: set[tuple[str, str, int, str]] = set()
    for number in numbers:
        entry = number.entry
        if entry.dataset not in DATASETS or number.miou is None or number.shots not in _SHOTS:
            continue
        line = _line(lines, entry.name, entry.setting, entry.protocol)
        row = measured(number, settings)
        if row is None or row.miou is None:
            line.figures.setdefault((entry.dataset, number.shots), (f"{number.miou:.1f}", False))
            continue
        line.figures[entry.dataset, number.shots] = (_figure(row), True)
        placed.add((entry.dataset, number.ours or "", number.shots, row.model.name))
    for setting, row in _own(settings):
        key = (setting.dataset, setting.protocol.name, setting.shots, row.model.name)
        if key not in placed:
            tier = "strict" if row.strict else "generalist"
            line = _line(lines, row.model.name, tier, setting.protocol.name)
            line.figures[setting.dataset, setting.shots] = (_figure(row), True)
    if not lines:
        return []
    ordered = sorted(lines.values(), key=lambda own: (_TIERS.index(own.tier), own.method.lower()))
    body = [
        [own.method, own.tier, own.protocol, *(_cell(own, dataset) for dataset in DATASETS)]
        for own in ordered
    ]
    head = ["Method", "Setting", "Protocol", *DATASETS.values()]
    return [
        "## PASCAL-5i, COCO-20i and the cross-domain sets",
        table(head, body, "lll" + "r" * len(DATASETS)),
        _INTRO,
    ]


def _own(settings: Sequence[Setting]) -> list[tuple[Setting, Row]]:
    return [
        (setting, row)
        for setting in settings
        if setting.dataset in DATASETS and setting.limit is None and setting.shots in _SHOTS
        for row in setting.rows
        if row.ranked
    ]


def _figure(row: Row) -> str:
    return wording.marked(row, wording.percent(row.miou))


def _line(lines: dict[tuple[str, str, str], _Line], method: str, tier: str, protocol: str) -> _Line:
    return lines.setdefault((method, tier, protocol), _Line(method, tier, protocol))


def _cell(line: _Line, dataset: str) -> str:
    found = [line.figures.get((dataset, shots)) for shots in _SHOTS]
    if not any(found):
        return wording.NONE
    return Markup(" / ".join(map(_marked, found)))


def _marked(figure: tuple[str, bool] | None) -> str:
    if figure is None:
        return wording.NONE
    text, own = escape(figure[0]), figure[1]
    return f"**{text}**ᵐ" if own else f"*{text}*ʳ"
