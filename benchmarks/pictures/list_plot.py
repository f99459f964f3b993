"""Episode lists as a picture: classes, sizes of masks, and what may make a list easy or odd."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pictures.canvas import COLOURS, MARKERS, Canvas
from benchmarks.protocols.lists import EpisodeList, ListStats
from benchmarks.protocols.mask_sizes import TINY, MaskStats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Counted = tuple[EpisodeList, ListStats, MaskStats | None]
_NAMED = 30  # more classes than this are numbered


def episodes_png(counted: Sequence[Counted]) -> bytes:
    """Draw the lists of one dataset and protocol; equal lists give equal bytes.

    Raises:
        BenchError: if matplotlib is not installed.
    """
    with Canvas(10, 7.5, (("classes", "sizes"), ("oddities", "oddities"))) as canvas:
        first = counted[0][0]
        canvas.title(f"{first.dataset}, episode lists {first.recipe}")
        _classes(canvas.panels["classes"], counted)
        _sizes(canvas.panels["sizes"], counted)
        _oddities(canvas.panels["oddities"], counted)
        return canvas.png()


def _classes(axes: "Axes", counted: Sequence[Counted]) -> None:
    """Episodes of each class: a colour a fold, a marker for each number of shots."""
    shots = sorted({listed.shots for listed, _, _ in counted})
    names = list(dict.fromkeys(name for _, stats, _ in counted for name in stats.per_class))
    place = {name: index for index, name in enumerate(names)}
    for listed, stats, _ in counted:
        marker = shots.index(listed.shots) % len(MARKERS)
        axes.plot(
            [place[name] for name in stats.per_class],
            list(stats.per_class.values()),
            linestyle="none",
            marker=MARKERS[marker],
            # The first is filled, those of more shots are drawn round it.
            markersize=4 + 3 * marker,
            markerfacecolor=None if marker == 0 else "none",
            color=_colour(listed),
        )
    most = max((n for _, stats, _ in counted for n in stats.per_class.values()), default=1)
    axes.set(title="Episodes of each class", ylabel="episodes", ylim=(0, 1.1 * most))
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90)
    else:
        axes.set(xlabel=f"the {len(names)} classes, fold by fold")
    drawn = [
        axes.plot([], [], linestyle="none", color="#555555", marker=MARKERS[i % len(MARKERS)],
                  markersize=4 + 3 * i, markerfacecolor=None if i == 0 else "none",
                  label=f"{count}-shot")[0]
        for i, count in enumerate(shots)
    ]  # fmt: skip
    axes.legend(handles=drawn, frameon=False, loc="lower right")


def _sizes(axes: "Axes", counted: Sequence[Counted]) -> None:
    """How many queries have a mask smaller than so much of the grid, a line a fold."""
    axes.set(title="Size of the query's mask", ylabel="episodes with a smaller mask, %")
    drawn = set()
    for listed, _, masks in counted:
        if masks is None or listed.fold in drawn or not masks.queries:
            continue
        drawn.add(listed.fold)
        sizes = 100 * np.sort(np.maximum(masks.queries, TINY / 10))
        axes.step(
            sizes,
            np.linspace(0, 100, len(sizes)),
            color=_colour(listed),
            linestyle="-" if listed.fold < len(COLOURS) else "--",
            label=f"fold {listed.fold}, {listed.shots}-shot",
        )
    if not drawn:
        axes.text(0.5, 0.5, "masks were not read", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.axvline(100 * TINY, color="#555555", linestyle=":")
    axes.text(90 * TINY, 50, "tiny", ha="right", color="#555555")
    axes.set(xlabel="share of the protocol's grid, %", xscale="log", xlim=(10 * TINY, 100))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, loc="lower right")


def _oddities(axes: "Axes", counted: Sequence[Counted]) -> None:
    """Shares of episodes that are easy or odd, grouped by list."""
    every = [_shares(*own) for own in counted]
    kinds = list(dict.fromkeys(kind for own in every for kind in own))
    width = 0.8 / max(len(kinds), 1)
    for index, kind in enumerate(kinds):
        where = np.arange(len(every)) + (index - (len(kinds) - 1) / 2) * width
        heights = [own.get(kind, 0.0) for own in every]
        bars = axes.bar(where, heights, width, color=COLOURS[index % len(COLOURS)], label=kind)
        axes.bar_label(bars, [_percent(height) for height in heights], fontsize=7, padding=1)
    axes.set(title="Episodes that are easy or odd, % of a list", ylabel="episodes, %")
    axes.set_xticks(range(len(every)), [listed.name.replace("_", "\n") for listed, _, _ in counted])
    axes.grid(False, axis="x")
    axes.margins(y=0.15)
    axes.legend(frameon=False, ncols=len(kinds), loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _shares(listed: EpisodeList, stats: ListStats, masks: MaskStats | None) -> Mapping[str, float]:
    counts = {"a support twice": stats.repeated}
    if stats.neighbours is not None:
        counts["a neighbour as support"] = stats.neighbours
    if masks is not None:
        counts |= {
            "tiny query": masks.tiny_queries,
            "empty query": masks.empty_queries,
            "a tiny support": masks.tiny_supports,
            "an empty support": masks.empty_supports,
        }
    return {kind: 100 * count / max(stats.episodes, 1) for kind, count in counts.items()}


def _percent(height: float) -> str:
    return "" if height == 0 else f"{height:.1f}" if height >= 0.1 else f"{height:.1g}"


def _colour(listed: EpisodeList) -> str:
    return COLOURS[listed.fold % len(COLOURS)]
