"""One model in one setting, looked at closely: an HTML page and its plots."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from benchmarks import BenchError, Result, RunRecord
from leaderboards.page import plots
from leaderboards.page.html import fill
from leaderboards.statistics.scores import Row, Setting, settings
from leaderboards.statistics.shots import Curve
from leaderboards.tables import wording
from leaderboards.tables.shots import HEADS, READ_PLAIN, answers

EpisodeKey = tuple[int, int]  # fold and number
_STAGES = {
    "load": "loading",
    "encode_images": "images",
    "encode_supports": "supports",
    "segment": "segmenting",
    "score": "scoring",
}
_EACH = 3  # of the best, median and worst episodes


@dataclass(frozen=True)
class Episode:
    """One episode and how it went; IoU in 0..1."""

    fold: int
    number: int
    class_name: str
    query: str
    iou: float

    @property
    def key(self) -> EpisodeKey:
        """What names it within a setting."""
        return self.fold, self.number


def episodes_of(results: Iterable[Result]) -> list[Episode]:
    """Every episode, best first."""
    found = []
    for result in results:
        names = result.record.setup.dataset.classes
        found += [
            Episode(result.key.fold, number, names[index], query, iou)
            for number, index, query, iou in zip(
                result.counts.episode.tolist(),
                result.counts.class_id.tolist(),
                result.queries,
                result.counts.ious.tolist(),
                strict=True,
            )
        ]
    return sorted(found, key=lambda episode: (-episode.iou, episode.key))


def telling(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    """The best, the median and the worst, of `episodes` sorted best first; no query is repeated."""
    middle = max((len(episodes) - _EACH) // 2, 0)
    return {
        "Best": _first(episodes),
        "Median": _first(episodes[middle:]),
        "Worst": _first(episodes[::-1])[::-1],
    }


def _first(episodes: Sequence[Episode]) -> list[Episode]:
    once: dict[tuple[str, str], Episode] = {}
    for episode in episodes:
        once.setdefault((episode.class_name, episode.query), episode)
    return list(once.values())[:_EACH]


def draw_plots(
    results: Sequence[Result],
    sizes: Mapping[EpisodeKey, float] | None,
    curve: Curve | None = None,
) -> dict[str, tuple[str, bytes]]:
    """PNGs by file name, each with what it shows in words.

    Args:
        results: one model's in one setting.
        sizes: the query object's share of its image, in 0..1, by episode; None where unknown.
        curve: the model's over shots, where it has one.

    Raises:
        BenchError: if matplotlib is not installed.
    """
    _, row = _only(results)
    found = episodes_of(results)
    classes = {
        name: score.class_iou[index]
        for score in row.folds.values()
        for index, name in score.record.setup.dataset.classes.items()
        if index in score.class_iou
    }
    drawn = {}
    if curve is not None:
        drawn["shots.png"] = (
            plots.CAPTIONS["shots"],
            plots.shots_curve({row.model.name: curve.mious}),
        )
    drawn |= {
        "classes.png": ("Class IoU with 95% intervals", plots.class_bars(classes)),
        "histogram.png": (
            "How the IoU of single episodes is spread",
            plots.iou_histogram([episode.iou for episode in found]),
        ),
    }
    if sizes is not None:
        drawn["sizes.png"] = (
            "IoU of episodes against the size of the query's object",
            plots.iou_against_size([sizes[e.key] for e in found], [e.iou for e in found]),
        )
    return drawn


def report_page(
    results: Sequence[Result],
    drawn: Mapping[str, tuple[str, bytes]],
    pictures: Mapping[EpisodeKey, bytes],
    curve: Curve | None = None,
) -> str:
    """The page, with every picture in it.

    Args:
        results: one model's in one setting.
        drawn: what `draw_plots` gave.
        pictures: a PNG of some of the telling episodes.
        curve: the model's over shots, where it has one.
    """
    setting, row = _only(results)
    title = f"{row.model.name} on {setting.dataset}, {setting.protocol.name}, {setting.shots}-shot"
    parts = [_section("Figures", _figures(row)), _section("Speed", _speed(results))]
    if row.answers:
        parts.insert(1, _section("Asked beside", _table(("", "%"), wording.answers(row))))
    parts.append(_section("Where the time went", _stages(results)))
    parts.append(_section("What the cache saved", _cache(results)))
    if curve is not None:
        parts.append(_section("Over shots", _over_shots(curve)))
    parts += [_section(caption, _image(png, caption)) for caption, png in drawn.values()]
    for heading, episodes in telling(episodes_of(results)).items():
        head = ("fold", "episode", "class", "query", "IoU, %")
        body = [(e.fold, e.number, e.class_name, e.query, f"{100 * e.iou:.1f}") for e in episodes]
        images = "".join(
            _image(pictures[e.key], f"episode {e.number} of fold {e.fold}: {e.class_name}")
            for e in episodes
            if e.key in pictures
        )
        parts.append(_section(f"{heading} episodes", _table(head, body) + images))
    parts.append(_section("What fixes these numbers", _facts(setting, row)))
    return fill("report.html", {"TITLE": escape(title), "BODY": "\n".join(parts)})


def _only(results: Sequence[Result]) -> tuple[Setting, Row]:
    """The one setting and row that the results make."""
    boards = settings(results)
    if len(boards) != 1 or len(boards[0].rows) != 1:
        raise BenchError("a report is about one model on one dataset at one number of shots")
    return boards[0], boards[0].rows[0]


def _figures(row: Row) -> str:
    body = [
        (f"fold {fold}", wording.percent_interval(s.miou), wording.percent_interval(s.fb_iou))
        for fold, s in sorted(row.folds.items())
    ]
    body.append(("mean", wording.percent_interval(row.miou), wording.percent_interval(row.fb_iou)))
    return _table(("", "mIoU, % (95%)", "FB-IoU, % (95%)"), body)


def _over_shots(curve: Curve) -> str:
    body = [(wording.shot(k), wording.percent_interval(own)) for k, own in curve.mious.items()]
    body += zip(HEADS, answers(curve), strict=True)
    return _table(("", "%"), body) + f'<p class="hint">{escape(READ_PLAIN)}</p>'


def _speed(results: Sequence[Result]) -> str:
    head = ["fold", "ms per episode: 5%", "median", "95%", "episodes/s", "seconds", "sittings"]
    head += ["peak memory, MiB"]
    body = []
    for result in results:
        record = result.record
        low = high = wording.NONE
        if result.milliseconds is not None:
            ends = np.percentile(result.milliseconds, [5, 95])
            low, high = (wording.milliseconds(float(value)) for value in ends)
        body.append(
            (
                result.key.fold,
                low,
                wording.milliseconds(record.milliseconds_per_episode),
                high,
                f"{record.episodes_per_second:.1f}",
                f"{record.seconds:.1f}",
                record.sittings,
                f"{record.peak_memory_bytes / 2**20:.0f}",
            )
        )
    return _table(head, body)


def _stages(results: Sequence[Result]) -> str:
    """Milliseconds per episode of each stage, in the last sitting."""
    head = ["fold", *_STAGES.values(), "other"]
    body = []
    for result in results:
        stages, record = result.record.stages, result.record
        if stages is None or record.sittings > 1:
            # Of an earlier sitting nothing is known, nor which episodes were the last one's.
            body.append([result.key.fold, *[wording.NONE] * (len(head) - 1)])
            continue
        seconds = [getattr(stages, name) for name in _STAGES]
        seconds.append(max(record.seconds - sum(seconds), 0.0))
        each = 1000 / record.setup.episodes.count
        body.append([result.key.fold, *(wording.milliseconds(each * own) for own in seconds)])
    return "<p>Milliseconds per episode, the mean of all.</p>" + _table(head, body)


def _cache(results: Sequence[Result]) -> str:
    """How many encodes a run in one sitting asked for, and how many of them the cache answered.

    An image counts once for each part of its features that is kept by itself.
    """
    head = ["fold"]
    for what in ("image", "support"):
        head += [f"{what}s asked for", "encoded", "cache hits"]
    head.append("peak of the cache, MiB")
    body = []
    for result in results:
        cache = result.record.cache
        if cache is None or result.record.sittings > 1:
            body.append([result.key.fold, *[wording.NONE] * (len(head) - 1)])
            continue
        pairs = (
            (cache.naive_image_encodes, cache.image_encodes),
            (cache.naive_support_encodes, cache.support_encodes),
        )
        cells: list[object] = []
        for asked, done in pairs:
            hits = f"{100 * (1 - done / asked):.1f}%" if asked else wording.NONE
            cells += [asked, done, hits]
        body.append([result.key.fold, *cells, f"{cache.peak_bytes / 2**20:.0f}"])
    return _table(head, body)


def _facts(setting: Setting, row: Row) -> str:
    def each(fact: Callable[[RunRecord], str]) -> str:
        return wording.distinct(map(fact, row.records))

    facts = {
        "Model": f"{each(lambda own: own.setup.model.title)}; {', '.join(row.marks) or 'whole'}",
        "Options": each(lambda own: _pairs(own.setup.model.config)),
        "Parameters": each(lambda own: wording.parameters(own.setup.model.parameters)),
        "Weights": each(lambda own: wording.prefix(own.setup.model.weights_digest)),
        "Test classes seen": each(lambda own: own.setup.model.sees_test_classes),
        "Resolution": setting.protocol.resolution,
        "Seed": setting.protocol.seed,
        "Dataset digest": each(lambda own: own.setup.dataset.digest),
        "Episode lists": each(lambda own: own.setup.episodes.digest[:16]),
        "Device": each(
            lambda own: f"{own.hardware}, {own.setup.dtype}, batches of {own.setup.batch_size}"
        ),
        "Versions": each(lambda own: _pairs(own.versions)),
        "Revision": each(lambda own: own.revision or wording.NONE),
        "Date": row.date,
    }
    items = (f"<dt>{escape(what)}</dt><dd>{escape(fact)}</dd>" for what, fact in facts.items())
    return f"<dl>{''.join(items)}</dl>"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>\n{body}\n</section>"


def _image(png: bytes, caption: str) -> str:
    data = b64encode(png).decode("ascii")
    return f'<p><img alt="{escape(caption)}" src="data:image/png;base64,{data}"></p>'


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    def row(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    lines = "".join(row("td", cells) for cells in body)
    return (
        '<div class="scroll" tabindex="0"><table>'
        f"<thead>{row('th', head)}</thead><tbody>{lines}</tbody></table></div>"
    )
