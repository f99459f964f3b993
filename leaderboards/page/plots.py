"""Plots of results as PNG; matplotlib is an extra, imported when a plot is drawn."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from benchmarks import COLOURS, MARKERS, Canvas, Figure
from leaderboards.statistics.scores import Setting
from leaderboards.tables import wording

_BINS = list(range(0, 101, 5))
_FILLS = ("full", "none", "left", "right", "top", "bottom")  # of markers, by device
CAPTIONS = {  # of what `board_plots` draws
    "shots": "mIoU with 95% intervals against the number of shots",
    "cost": "mIoU with 95% intervals against milliseconds an episode without a cache",
}


def class_bars(classes: Mapping[str, Figure]) -> bytes:
    """Class IoU with intervals, best class first."""
    order = sorted(classes, key=lambda name: -classes[name].value)
    values = np.array([100 * classes[name].value for name in order])
    low = values - [100 * classes[name].interval.low for name in order]
    high = [100 * classes[name].interval.high for name in order] - values
    with _Plot(7, 1.2 + 0.22 * len(order)) as plot:
        ends = np.maximum([low, high], 0)
        plot.axes.barh(order, values, xerr=ends, color=COLOURS[4], ecolor="#222222", capsize=2)
        plot.axes.invert_yaxis()
        plot.axes.set(xlabel="class IoU, %", xlim=(0, 100))
        plot.axes.grid(False, axis="y")
        return plot.png()


def iou_histogram(ious: Sequence[float]) -> bytes:
    """How the IoU of single episodes, in 0..1, is spread."""
    with _Plot(7, 3) as plot:
        plot.axes.hist(100 * np.asarray(ious), bins=_BINS, color=COLOURS[0], edgecolor="white")
        plot.axes.set(xlabel="IoU of an episode, %", ylabel="episodes", xlim=(0, 100))
        return plot.png()


def iou_against_size(sizes: Sequence[float], ious: Sequence[float]) -> bytes:
    """IoU of episodes, in 0..1, against the query object's share of its image, in 0..1."""
    size, iou = 100 * np.asarray(sizes), 100 * np.asarray(ious)
    size, iou = size[size > 0], iou[size > 0]
    with _Plot(7, 3.6) as plot:
        plot.axes.scatter(size, iou, s=6, color=COLOURS[4], alpha=0.5, linewidths=0)
        edges = np.quantile(size, np.linspace(0, 1, 9)) if len(size) else np.zeros(2)
        middle, median = [], []
        for low, high in pairwise(edges):
            inside = (size >= low) & (size <= high)
            if inside.sum() >= 5:
                middle.append(float(np.median(size[inside])))
                median.append(float(np.median(iou[inside])))
        plot.axes.plot(middle, median, "o-", color=COLOURS[1], label="median of an eighth")
        plot.axes.set(xscale="log", xlabel="object's share of the image, %", ylabel="IoU, %")
        plot.axes.set(ylim=(-2, 102))
        plot.plain_numbers()
        plot.axes.legend(frameon=False)
        return plot.png()


def shots_curve(models: Mapping[str, Mapping[int, Figure]]) -> bytes:
    """Draw mIoU with intervals of each model at each number of shots."""
    with _Plot(7, 4) as plot:
        for index, (name, points) in enumerate(models.items()):
            shots = sorted(points)
            plot.errorbars(index, shots, [points[k] for k in shots], name, "-")
        plot.axes.set(xlabel="shots", ylabel="mIoU, %", xscale="log")
        plot.ticks(sorted({k for points in models.values() for k in points}))
        plot.axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        return plot.png()


def cost_plot(devices: Mapping[str, Mapping[str, tuple[float, Figure]]]) -> bytes:
    """Draw mIoU with intervals of each model against its milliseconds per episode.

    Args:
        devices: both of each model by its name, by the device that took the time. Where there are
            several, markers are filled by device, and the legend names it above its models.
    """
    label = "milliseconds an episode without a cache"
    with _Plot(7, 4) as plot:
        index = 0
        for number, (device, models) in enumerate(devices.items()):
            if len(devices) > 1:
                plot.axes.errorbar([], [], fmt=" ", label=f"{device}:")
            for name, (cost, figure) in models.items():
                fill = _FILLS[number % len(_FILLS)]
                plot.errorbars(index, [cost], [figure], name, "none", fill)
                index += 1
        if len(devices) > 1:
            label += "\nthose of different devices do not compare"
        plot.axes.set(xlabel=label, ylabel="mIoU, %", xscale="log")
        plot.plain_numbers()
        plot.axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        return plot.png()


def plot_name(setting: Setting, kind: str) -> str:
    """Where the plot of a setting goes, below the boards: `kind` is "shots" or "cost"."""
    shots = "" if kind == "shots" else f"-{setting.shots}shot"
    return f"plots/{setting.dataset}-{setting.protocol.name}{shots}-{kind}.png"


def board_plots(settings: Sequence[Setting]) -> dict[str, bytes]:
    """PNGs of the boards by `plot_name`; lists that were cut are left out.

    Raises:
        BenchError: if matplotlib is not installed.
    """
    curves: dict[str, dict[str, dict[int, Figure]]] = {}
    drawn = {}
    for setting in settings:
        costs: dict[str, dict[str, tuple[float, Figure]]] = {}
        for row in setting.rows:
            if row.miou is not None and setting.limit is None:
                if row.milliseconds is not None:
                    device = wording.distinct(record.hardware for record in row.records)
                    own = costs.setdefault(device, {})
                    own[row.model.name] = (row.milliseconds, row.miou)
                curve = curves.setdefault(plot_name(setting, "shots"), {})
                curve.setdefault(row.model.name, {})[setting.shots] = row.miou
        if costs:
            drawn[plot_name(setting, "cost")] = cost_plot(costs)
    for name, models in curves.items():
        if len({k for points in models.values() for k in points}) > 1:
            drawn[name] = shots_curve(models)
    return drawn


class _Plot(Canvas):
    """One pair of axes in the common style."""

    def errorbars(
        self,
        index: int,
        x: Sequence[float],
        figures: Sequence[Figure],
        name: str,
        line: str,
        fill: str = "full",
    ) -> None:
        """Figures with their intervals, in the colour and with the marker of number `index`."""
        y = np.array([100 * figure.value for figure in figures])
        low = y - [100 * figure.interval.low for figure in figures]
        high = [100 * figure.interval.high for figure in figures] - y
        self.axes.errorbar(
            x,
            y,
            yerr=np.maximum([low, high], 0),
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
            linestyle=line,
            fillstyle=fill,
            capsize=2,
            label=name,
        )

    def plain_numbers(self) -> None:
        """Write 1, 3, 10, 30 on a logarithmic axis, and powers of ten alone on a long one."""
        from matplotlib.ticker import LogLocator

        low, high = self.axes.get_xlim()
        self.axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 1e4 * low else (1,)))
        self.axes.xaxis.set_major_formatter("{x:g}")
        self.axes.xaxis.set_minor_formatter("")

    def ticks(self, values: Sequence[float]) -> None:
        """Mark these values of the horizontal axis and no others."""
        self.axes.set_xticks(values, [f"{value:g}" for value in values])
        self.axes.minorticks_off()
