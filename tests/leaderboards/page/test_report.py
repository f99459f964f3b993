"""Plots and the report of one run."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.errors import BenchError
from benchmarks.evaluation.intervals import Figure, Interval
from benchmarks.results.store import Result, read_result
from leaderboards.build import build
from leaderboards.page import plots
from leaderboards.page.report import draw_plots, episodes_of, report_page, telling
from tests.leaderboards.synthetic import write_model, write_run


def model(root: Path, name: str = "alpha", **changes: object) -> list[Result]:
    return [read_result(root, key) for key in write_model(root, name, **changes)]


def size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")


def figure(value: float) -> Figure:
    return Figure(value, Interval(value - 0.02, value + 0.03))


@pytest.mark.usefixtures("matplotlib")
def test_plots_have_fixed_sizes_and_equal_bytes() -> None:
    ious = np.linspace(0, 1, 50).tolist()
    names = {f"class {index}": figure(0.1 * index) for index in range(1, 6)}
    curve = {"alpha": {1: figure(0.5), 5: figure(0.6)}, "beta": {1: figure(0.4)}}
    for draw, width, height in (
        (lambda: plots.iou_histogram(ious), 840, 360),
        (lambda: plots.iou_against_size(ious, ious), 840, 432),
        (lambda: plots.class_bars(names), 840, 276),
        (lambda: plots.shots_curve(curve), 840, 480),
        (lambda: plots.cost_plot({"CPU": {"alpha": (3.0, figure(0.5))}}), 840, 480),
    ):
        png = draw()
        assert size(png) == (width, height)
        assert draw() == png


@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize(
    ("limits", "marked"),
    [((0.8, 40), [1, 3, 10, 30]), ((0.005, 20000), [0.01, 0.1, 1, 10, 100, 1000, 10000])],
)
def test_a_long_axis_has_room_for_its_numbers(
    limits: tuple[float, float], marked: list[float]
) -> None:
    with plots._Plot(7, 4) as plot:
        plot.axes.set(xscale="log", xlim=limits)
        plot.plain_numbers()
        ticks = [tick for tick in plot.axes.get_xticks() if limits[0] <= tick <= limits[1]]
    assert ticks == pytest.approx(marked)


@pytest.mark.usefixtures("matplotlib")
def test_a_plot_leaves_the_users_settings_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.iou_histogram([0.5])
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match=r"pip install 'fss-bench\[plots\]'"):
        plots.iou_histogram([0.5])


@pytest.mark.usefixtures("matplotlib")
def test_times_of_different_devices_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(self: plots._Plot) -> bytes:
        texts = [text.get_text() for text in self.axes.get_legend().get_texts()]
        drawn = [own.lines[0] for own in self.axes.containers]
        fills = [own.get_fillstyle() for own in drawn if len(own.get_xdata())]
        return "|".join([self.axes.get_xlabel(), *texts, *fills]).encode()

    monkeypatch.setattr(plots._Plot, "png", said)
    one = {"alpha": (3.0, figure(0.5)), "beta": (30.0, figure(0.6))}
    label = "milliseconds an episode without a cache"
    assert plots.cost_plot({"CPU": one}).decode() == f"{label}|alpha|beta|full|full"
    other = {"giant": (2.0, figure(0.7))}
    assert plots.cost_plot({"CPU": one, "GPU": other}).decode() == (
        f"{label}\nthose of different devices do not compare"
        "|CPU:|alpha|beta|GPU:|giant|full|full|none"
    )


@pytest.mark.usefixtures("matplotlib")
def test_boards_draw_plots_when_asked_to_and_show_them(tmp_path: Path) -> None:
    for shots in (1, 5):
        write_model(tmp_path / "r", "alpha", shots=shots)
    write_model(tmp_path / "r", "quick", count=10, limit=10)
    write_model(tmp_path / "r", "halfway", dataset="other", folds=2)
    with_plots = build(tmp_path / "r", tmp_path / "a", plots=True)
    drawn = sorted(path.name for path in with_plots.files if path.suffix == ".png")
    assert drawn == [
        "toy-fixed-v1-1shot-cost.png",
        "toy-fixed-v1-5shot-cost.png",
        "toy-fixed-v1-shots.png",
    ]
    text = (tmp_path / "a/boards/pictures.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert sorted(shown) == [f"plots/{name}" for name in drawn]
    assert all((tmp_path / "a/boards" / path).is_file() for path in shown)
    build(tmp_path / "r", tmp_path / "b")
    assert not (tmp_path / "b/boards/pictures.md").exists()
    pages = [(tmp_path / name / "boards/toy.md").read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]  # tables do not depend on who has matplotlib


def test_telling_episodes_are_the_extremes_and_the_middle(tmp_path: Path) -> None:
    results = model(tmp_path)
    episodes = episodes_of(results)
    assert len(episodes) == 160
    ious = [episode.iou for episode in episodes]
    assert ious == sorted(ious, reverse=True)
    areas = results[episodes[0].fold].counts.areas[episodes[0].number]
    assert episodes[0].iou == areas[0] / areas[1] == max(ious)
    found = telling(episodes)
    assert found["Best"][0] == episodes[0] and found["Worst"][-1] == episodes[-1]
    assert abs(found["Median"][1].iou - np.median(ious)) < 0.02
    for chosen in found.values():
        assert len({(e.class_name, e.query) for e in chosen}) == 3


def test_few_episodes_tell_what_they_can(tmp_path: Path) -> None:
    (result,) = model(tmp_path, folds=1, count=2)
    found = telling(episodes_of([result]))
    assert [len(chosen) for chosen in found.values()] == [2, 2, 2]
    assert telling([]) == {"Best": [], "Median": [], "Worst": []}


PNG = b"\x89PNG picture"


def test_the_page_says_everything_and_fetches_nothing(tmp_path: Path) -> None:
    results = model(
        tmp_path, title="<b>Alpha</b>", config={"backbone": "/* BODY */</style><script>"}
    )
    best = telling(episodes_of(results))["Best"][0]
    page = report_page(results, {"x.png": ("A plot", PNG)}, {best.key: PNG})
    assert "alpha on toy, fixed-v1, 1-shot" in page
    assert page.count("data:image/png;base64,iVBORw0K"[:22]) == 2
    for text in ("fold 3", "mean", "A plot", "Best episodes", "Worst episodes", "d" * 64):
        assert text in page
    saved = "<td>80</td><td>20</td><td>75.0%</td><td>40</td><td>20</td><td>50.0%</td>"
    assert saved in page
    # 1.5 s for 40 episodes, of which 0.2 s is nobody's.
    times = ("5.0", "15.0", "0.00", "10.0", "2.5", "5.0")
    assert "<td>0</td>" + "".join(f"<td>{time}</td>" for time in times) in page
    assert "&lt;b&gt;Alpha&lt;/b&gt;" in page and "<b>Alpha" not in page
    assert "<script" not in page and "/* BODY */&lt;/style&gt;" in page
    assert "default-src 'none'" in page and not re.search(r"https?://", page)


def test_what_is_not_known_is_left_open(tmp_path: Path) -> None:
    results = model(tmp_path, folds=2, record={"cache": None, "revision": None})
    untimed = [Result(r.key, r.record, r.counts, r.queries, None) for r in results]
    page = report_page(untimed, {}, {})
    assert "<td>mean</td><td>–</td><td>–</td>" in page
    assert "2 of 4 folds" in page


def test_what_a_resumed_run_says_of_its_last_sitting_alone_is_left_open(tmp_path: Path) -> None:
    page = report_page(model(tmp_path, folds=1, record={"sittings": 2}), {}, {})
    stages, cache = ("<tr><td>0</td>" + "<td>–</td>" * number + "</tr>" for number in (6, 7))
    assert stages in page and cache in page


def test_what_differs_between_folds_is_said_of_each(tmp_path: Path) -> None:
    results = model(tmp_path, folds=3)
    other = {"hardware": "Toy GPU", "versions": {"torch": "2.10.0"}, "revision": "fedcba"}
    key = write_run(tmp_path, fold=3, record=other, parameters=7, config={"backbone": "large"})
    page = report_page([*results, read_result(tmp_path, key)], {}, {})
    for fact in (
        "Toy CPU, 2 cores, fp32, batches of 1, Toy GPU, fp32, batches of 1",
        "python 3.11.9, torch 2.9.0, torch 2.10.0",
        "0123456789abcdef, fedcba",
        "1.2M, 7",
        "backbone tiny, backbone large",
    ):
        assert f"<dd>{fact}</dd>" in page


@pytest.mark.usefixtures("matplotlib")
def test_the_plots_of_a_report(tmp_path: Path) -> None:
    results = model(tmp_path)
    assert list(draw_plots(results, None)) == ["classes.png", "histogram.png"]
    sizes = {episode.key: 0.1 + episode.iou / 2 for episode in episodes_of(results)}
    drawn = draw_plots(results, sizes)
    assert list(drawn) == ["classes.png", "histogram.png", "sizes.png"]
    assert all(png.startswith(b"\x89PNG") for _, png in drawn.values())


def test_a_report_is_about_one_model_in_one_setting(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="one model on one dataset"):
        report_page(model(tmp_path, "alpha") + model(tmp_path, "beta"), {}, {})
