"""The boards as markdown: an overview, and a page per dataset."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from benchmarks import questions
from leaderboards.committed.collect import LeftOut
from leaderboards.literature.numbers import Reported
from leaderboards.literature.table import PAGE, reported_tables
from leaderboards.statistics.scores import Row, Setting
from leaderboards.statistics.seen import Training
from leaderboards.statistics.sizes import BANDS, episodes_by_size, miou_by_size
from leaderboards.tables import wording
from leaderboards.tables.across import across_tables
from leaderboards.tables.markdown import BOARDS, escape, link, table
from leaderboards.tables.shots import shots_section
from leaderboards.tables.side_by_side import side_by_side

_WIDE = 5  # more folds than this stand in a table of their own

READ = "[How to read this page](../README.md#how-to-read-the-boards)"  # on dataset pages alone
_HOW_TO_READ = """\
- **mIoU** is the mean over folds of the mean over a fold's novel classes of class IoU; counts are
  summed over all episodes of a class before any division. **FB-IoU** is the mean of foreground and
  background IoU with counts summed over all classes of a fold. Both in percent.
- **Intervals** in brackets are 95% bootstrap intervals: 10,000 times, the query images of each
  class are drawn again with replacement, each with all its episodes. They say how far a figure
  would move with other images of the same classes, and nothing about other classes. The range
  beside a **mean rank** over datasets is no interval: it is the lowest and the highest of them.
- **By size**: the mIoU of those episodes alone whose object covers so much of its image, with the
  number of such episodes of all folds; a class without any is left out of its fold's mean. Sizes
  are known where the floor `all-foreground` was measured, whose intersection is the object.
- Rows are sorted by mIoU. A **rank** is a range, such as 2–4, where the paired test on the same
  episodes, corrected by Holm for the number of pairs at 5%, cannot tell models apart: at least one
  and at most three are then better than it. Ranks are given to models that were measured on all
  episodes of all folds. Floors and oracles, which learn nothing or know the answer, stand beside
  them for scale; so do previews and models with random weights, marked *not comparable*.
- **Strict** and **generalist** models have tables of their own: whoever saw the test classes in
  training, or may have seen them, does not compete with those who did not. A matcher of a frozen
  backbone (`prototype`, `dense-nn`) counts as strict whatever weights it is given, unless these or
  `--trained-on` say what masks they saw: a row whose name tells of weights is as strict as they.
- **Test classes seen** is the share of the tested classes, judged by their names, of which the
  weights' training held masks: of all its sets whose classes are known. Where it is not recorded
  what they were trained on, there is a word instead; a matcher of a frozen backbone shows 0 then,
  which is no finding about the file that it was given.
- A row that **lacks a fold** shows the folds it has and no mean. *Trained for fold 0* means that
  the model's weights have seen the other folds' test classes, so that it cannot have more. Nor is
  there a mean of folds that were **measured with different options**; weights may be a fold's own.
- Numbers of different **protocols**, datasets or shots are never comparable, nor are those of a
  list of which only the first episodes were run.
- Results must have been measured on the same data and episode lists: the published ones, or those
  of the results in `results/`. Where there are neither, the board takes the digest that more
  models have, and the more recent of two equally common ones. The others are left out and named.
- **ms** is the model's time for an episode without a cache, on the device that the details name:
  an encode's mean time as often as query and supports need it, and the segmenting. So it does not
  matter what another model or fewer shots had left in the cache; *–* where all encodes had been
  made before. Times of different devices do not compare, nor do those of one that was busy with
  other work: before you quote one, measure it with `bench speed` on an idle machine.
"""


_LITERATURE = (
    "As published, not measured by this suite, and not ranked: protocols differ. "
    f"[More of them]({PAGE})."
)


def overview(
    settings: Sequence[Setting], left_out: Sequence[LeftOut], numbers: Sequence[Reported]
) -> str:
    """`README.md`; arguments as of `dataset_page`."""
    parts = [
        "# Leaderboards",
        "Written by `bench leaderboard` from the results store and `results/`; do not edit.",
        *side_by_side(settings, numbers),
        "## Measured here",
        _overview_table(settings) if settings else "There are no results yet; run `bench run`.",
        f"[index.html](index.html) shows the same as one page to sort, filter and look at. "
        f"Numbers of the literature stand apart: [reported]({BOARDS}/{PAGE}).",
        *across_tables(settings),
        "## How to read the boards",
        _HOW_TO_READ.strip(),
        *_left_out(left_out),
    ]
    return _page(parts)


def dataset_page(
    settings: Sequence[Setting],
    left_out: Sequence[LeftOut],
    numbers: Sequence[Reported],
    known: Training,
) -> str:
    """The page of one dataset.

    Args:
        settings: all of this dataset.
        left_out: results that are on no board, of any dataset.
        numbers: published ones, of any dataset.
        known: of training sets.
    """
    name, members = settings[0].dataset, settings[0].parts
    facts = _group_facts(members) if members else _dataset_facts(settings)
    parts = [
        f"# {escape(name)}",
        f"{facts} {READ}.",
    ]
    for protocol, group in groupby(settings, key=lambda setting: setting.protocol.name):
        parts += _protocol(protocol, list(group), known)
    literature = reported_tables(numbers, name, settings)
    if literature:
        parts += ["## Reported in the literature", _LITERATURE, *literature]
    own = members or (name,)
    return _page([*parts, *_left_out([out for out in left_out if out.key.dataset in own])])


def _dataset_facts(settings: Sequence[Setting]) -> str:
    first = min((setting.data for setting in settings), key=lambda data: data.labels_alone)
    what = "digest of labels and lists" if first.labels_alone else "dataset digest"
    tested = {
        index
        for setting in settings
        for record in setting.records.values()
        for index in record.setup.dataset.classes
    }
    return (
        f"{len(tested)} test classes in {len(first.tested)} folds ({escape(first.lists)} lists), "
        f"{what} `{wording.prefix(first.digest)}`."
    )


def _group_facts(members: Sequence[str]) -> str:
    pages = ", ".join(link(name, f"{name}.md") for name in members)
    return (
        f"The mean over {len(members)} datasets: {pages}. A row that lacks one of them has no "
        "mean. The interval of the mean takes the datasets' errors as independent."
    )


def _protocol(name: str, settings: Sequence[Setting], known: Training) -> list[str]:
    protocol = settings[0].protocol
    facts = {
        "Seed": protocol.seed,
        "Resolution": protocol.resolution,
        "Ignored pixels": protocol.ignore,
        "Classes that no episode drew": "count as 0" if protocol.undrawn == "zero" else "left out",
        "Aggregation": protocol.aggregation + (", mean over datasets" if settings[0].parts else ""),
    }
    parts = [
        f"## Protocol {escape(name)}",
        "\n".join(f"- {what}: {escape(fact)}" for what, fact in facts.items()),
        "Episode lists, as number of episodes and digest:",
        _lists_table(settings),
    ]
    for setting in settings:
        parts += _setting(setting)
    return [*parts, *shots_section(settings), "### Details", _details_table(settings, known)]


def _setting(setting: Setting) -> list[str]:
    title = wording.shot(setting.shots)
    if setting.limit is not None:
        title += f", {wording.cut(setting)}"
    parts = [f"### {title}"]
    for tier, rows in wording.tiers(setting):
        parts += [f"**{tier}**", _main_table(setting, rows)]
        if any(row.answers for row in rows):
            parts += ["Asked beside, in percent:", _answers_table(rows)]
        if any(miou_by_size(setting, row) for row in rows):
            parts += ["mIoU by the share of its image that the object covers:"]
            parts += [_sizes_table(setting, rows)]
        if len(setting.folds) > _WIDE:
            parts += ["mIoU by fold:", _folds_table(setting, rows)]
    return parts


def _main_table(setting: Setting, rows: Sequence[Row]) -> str:
    folds = setting.folds if 1 < len(setting.folds) <= _WIDE else ()
    head = ["#", "Model", "mIoU (95%)", *map(setting.part, folds), "FB-IoU (95%)", "ms"]
    body = [
        [
            wording.rank(setting, row),
            wording.named(row),
            wording.percent_interval(row.miou),
            *_by_fold(row, folds),
            wording.percent_interval(row.fb_iou),
            wording.milliseconds(row.milliseconds),
        ]
        for row in rows
    ]
    return table(head, body, "rl" + "r" * (len(head) - 2))


def _answers_table(rows: Sequence[Row]) -> str:
    names = [name for name in questions.HEADS if any(name in row.answers for row in rows)]
    body = [
        [wording.named(row), *(_answer(row.answers.get(name)) for name in names)] for row in rows
    ]
    return table(["Model", *(questions.HEADS[n] for n in names)], body, "l" + "r" * len(names))


def _sizes_table(setting: Setting, rows: Sequence[Row]) -> str:
    numbers = episodes_by_size(setting)
    head = [f"{band.name} ({n})" for band, n in zip(BANDS, numbers, strict=True)]
    body = [
        [wording.named(row), *map(_answer, miou_by_size(setting, row) or [None] * len(BANDS))]
        for row in rows
    ]
    return table(["Model", *head], body, "l" + "r" * len(head))


def _answer(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _folds_table(setting: Setting, rows: Sequence[Row]) -> str:
    head = ["Model", *map(str, setting.folds)]
    body = [[wording.named(row), *_by_fold(row, setting.folds)] for row in rows]
    return table(head, body, "l" + "r" * len(setting.folds))


def _by_fold(row: Row, folds: Iterable[int]) -> list[str]:
    return [
        wording.percent(row.folds[fold].miou) if fold in row.folds else wording.NONE
        for fold in folds
    ]


def _lists_table(settings: Sequence[Setting]) -> str:
    folds = sorted({fold for setting in settings for fold in setting.folds})
    body = []
    for setting in settings:
        records = setting.records
        cells = [
            f"{records[fold].setup.episodes.count} "
            f"`{wording.prefix(records[fold].setup.episodes.digest)}`"
            if fold in records
            else wording.NONE
            for fold in folds
        ]
        body.append([wording.shot(setting.shots) + (", cut" if setting.limit else ""), *cells])
    head = ["List", *map(settings[0].part, folds)]
    return table(head, body, "l" * len(head))


def _details_table(settings: Sequence[Setting], known: Training) -> str:
    head = ["Model", "What it is", "Shots", "Parameters", "Weights", "Test classes seen"]
    head += ["Text prompts", "Device", "dtype", "Date"]
    shots: dict[tuple[str, ...], list[str]] = {}
    for setting in settings:
        for row in setting.rows:
            setups = [record.setup for record in row.records]
            facts = (
                row.model.name + (f" (first {setting.limit})" if setting.limit else ""),
                row.model.title,
                wording.parameters(row.model.parameters),
                wording.distinct(wording.prefix(setup.model.weights_digest) for setup in setups),
                wording.seen_classes(row, known),
                wording.text_prompts(row),
                wording.distinct(record.hardware for record in row.records),
                wording.distinct(setup.dtype for setup in setups),
                row.date,
            )
            shots.setdefault(facts, []).append(str(setting.shots))
    body = [[*facts[:2], ", ".join(shots[facts]), *facts[2:]] for facts in sorted(shots)]
    return table(head, body, "llrrllllll")


def _overview_table(settings: Sequence[Setting]) -> str:
    head = ["Dataset", "Protocol", "Shots", "Rows", "Best strict", "Best generalist"]
    body = []
    for setting in settings:
        if setting.limit is not None:
            continue
        best = {
            strict: next((row for row in setting.rows if row.ranked and row.strict is strict), None)
            for strict in (True, False)
        }
        body.append(
            [
                link(setting.dataset, f"{BOARDS}/{setting.dataset}.md"),
                setting.protocol.name,
                setting.shots,
                len(setting.rows),
                *(_first(setting, row) if row else wording.NONE for row in best.values()),
            ]
        )
    return table(head, body, "llrrll")


def _first(setting: Setting, row: Row) -> str:
    """The row with the highest mIoU, and its rank where others may be better."""
    rank = wording.rank(setting, row)
    told = f", rank {rank}" if "–" in rank else ""
    return f"{wording.named(row)} {wording.percent_interval(row.miou)}{told}"


def _left_out(left_out: Sequence[LeftOut]) -> list[str]:
    if not left_out:
        return []
    return ["## Left out", "\n".join(f"- {escape(line)}" for line in wording.reasons(left_out))]


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
