"""How figures, digests and sizes are written, the same on every board."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from benchmarks import Figure, questions
from leaderboards.committed.collect import LeftOut
from leaderboards.statistics.scores import Row, Setting
from leaderboards.statistics.seen import Training, seen

NONE = "–"
TIERS = {
    True: "Strict: no test class was seen in training",
    False: "Generalist: test classes were seen in training, or may have been",
}


def percent(figure: Figure | None) -> str:
    """A figure in percent: `54.3`."""
    return NONE if figure is None else f"{100 * figure.value:.1f}"


def percent_interval(figure: Figure | None) -> str:
    """A figure in percent with its interval: `54.3 (52.1–56.0)`."""
    if figure is None:
        return NONE
    low, high = figure.interval.low, figure.interval.high
    return f"{100 * figure.value:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def mean_or_fold(setting: Setting, row: Row, name: Literal["miou", "fb_iou"]) -> str:
    """A row's mean, or what it has on its only fold: `fold 2: 54.3 (52.1–56.0)`."""
    mean: Figure | None = getattr(row, name)
    if mean is not None or len(row.folds) != 1:
        return percent_interval(mean)
    ((fold, score),) = row.folds.items()
    return f"{setting.part(fold)}: {percent_interval(getattr(score, name))}"


def prefix(digest: str | None) -> str:
    """The beginning of a digest, enough to tell two apart; what is none cannot be markup."""
    return re.sub(r"\W", "?", digest[:8]) if digest else NONE


def parameters(count: int) -> str:
    """A number of parameters: `1.2M`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def milliseconds(value: float | None) -> str:
    """A time with two or three meaningful digits: `0.85`, `7.1`, `340`; `–` where there is none."""
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def answers(row: Row) -> list[tuple[str, str]]:
    """What was asked beside mIoU, and the answer in percent."""
    return [
        (head, f"{100 * row.answers[name]:.1f}")
        for name, head in questions.HEADS.items()
        if name in row.answers
    ]


def named(row: Row) -> str:
    """A row's model and what must be known before comparing it."""
    return marked(row, row.model.name)


def marked(row: Row, text: str) -> str:
    """What is said of a row, and what must be known before comparing it."""
    return text + (f" ({', '.join(row.marks)})" if row.marks else "")


def rank(setting: Setting, row: Row) -> str:
    """A row's rank as the range that its tier's episodes leave, `2–4`; a dash if it has none."""
    low, high = setting.ranks.get(row.model.name, (0, 0))
    return NONE if not low else str(low) if low == high else f"{low}–{high}"


def shot(shots: int) -> str:
    """`5-shot`."""
    return f"{shots}-shot"


def cut(setting: Setting) -> str:
    """What is said of a cut list; empty for whole ones."""
    if setting.limit is None:
        return ""
    return f"only the first {setting.limit} episodes of each list, not comparable"


def tiers(setting: Setting) -> list[tuple[str, list[Row]]]:
    """The rows with what divides them: whether test classes were seen in training."""
    rows = {tier: [row for row in setting.rows if row.strict is tier] for tier in TIERS}
    return [(TIERS[tier], own) for tier, own in rows.items() if own]


def seen_classes(row: Row, known: Training) -> str:
    """The share of the test classes that training held, or what is recorded in its place."""
    share = seen(row, known)
    if share is not None:
        return str(share)
    return distinct(record.setup.model.sees_test_classes for record in row.records)


def text_prompts(row: Row) -> str:
    """Whether words name the class to the model; of masks from outside that is not known."""
    if row.model.kind == "predictions":
        return NONE
    return "yes" if any(record.setup.model.text_prompts for record in row.records) else "no"


def distinct(values: Iterable[str]) -> str:
    """Each value once."""
    return ", ".join(dict.fromkeys(values))


def reasons(left_out: Sequence[LeftOut]) -> list[str]:
    """One line for all folds and shots of a model that are left out for the same reason."""
    runs: dict[tuple[str, str], list[str]] = {}
    for out in left_out:
        model, _, run = str(out.key).rpartition("/")
        runs.setdefault((model, out.reason), []).append(run)
    return [f"{model} {', '.join(found)}: {reason}" for (model, reason), found in runs.items()]
