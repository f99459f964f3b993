"""The curve over shots on the pages: markdown, the page in a browser, and reports."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.results.store import read_result
from leaderboards.build import build
from leaderboards.page.report import draw_plots, report_page
from leaderboards.statistics.scores import settings
from leaderboards.statistics.shots import Curve, shot_curves
from tests.leaderboards.page.test_page import dump
from tests.leaderboards.synthetic import write_model
from tests.leaderboards.test_build import cells, section

SKILLS = {1: 0.3, 2: 0.5, 5: 0.7, 10: 0.7}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("curve")
    for shots, skill in SKILLS.items():
        write_model(root / "r", "rising", skill=skill, shots=shots)
        write_model(root / "r", "flat", skill=0.4, shots=shots, kind="floor")
        write_model(root / "r", "seer", skill=skill, shots=shots, sees_test_classes="yes")
    for shots in (1, 5):
        write_model(root / "r", "short", skill=0.4, shots=shots)
        write_model(root / "r", "rising", dataset="other", shots=shots)
    build(root / "r", root / "boards")
    return root / "boards"


def curve(root: Path, name: str) -> Curve:
    keys = write_model(root, name) + write_model(root, name, shots=2, skill=0.8)
    keys += write_model(root, name, shots=5, skill=0.9)
    (found,) = shot_curves(settings(read_result(root, key) for key in keys))
    return found.curves[0]


def test_the_markdown_has_a_table_for_each_tier(root: Path) -> None:
    text = section((root / "boards/toy.md").read_text(), "Over shots")
    rows = {row["Model"]: row for row in cells(text, "Model")}
    assert list(rows) == ["rising", "flat (floor)", "seer"]  # "short" has two numbers of shots
    assert text.index("**Strict:") < text.index("rising") < text.index("**Generalist:")
    head = ["Model", "1", "2", "5", "10", "Per doubling (95%)", "Reached at 5 (95%)"]
    assert list(rows["flat (floor)"]) == [*head, "Saturated at", "Still gained (95%)"]
    flat, rising = rows["flat (floor)"], rows["rising"]
    assert flat["Per doubling (95%)"] == flat["Still gained (95%)"] == "+0.0 (+0.0 to +0.0)"
    assert (flat["Reached at 5 (95%)"], flat["Saturated at"]) == ("–", "1")
    assert (rising["Saturated at"], rising["Reached at 5 (95%)"][:6]) == ("5", "100.0 ")
    assert re.fullmatch(r"\+\d+\.\d \(\+\d+\.\d to \+\d+\.\d\)", rising["Per doubling (95%)"])
    first = section((root / "boards/toy.md").read_text(), "1-shot")
    shown = {row["Model"]: row["mIoU (95%)"].split()[0] for row in cells(first)}
    assert rising["1"] == shown["rising"]


def test_two_numbers_of_shots_leave_the_page_as_it_was(root: Path) -> None:
    assert "Over shots" not in (root / "boards/other.md").read_text()
    (strict, general) = json.loads((root / "boards/board.json").read_text())["curves"]
    assert {own["dataset"] for own in (strict, general)} == {"toy"}
    assert (strict["shots"], strict["strict"], general["strict"]) == ([1, 2, 5, 10], True, False)
    rising, flat = strict["rows"]
    assert (rising["name"], rising["saturation"], rising["left"]) == ("rising", 5, [0.0, 0.0, 0.0])
    assert flat["slope"] == [0.0, 0.0, 0.0] and flat["reached"] is None
    assert list(rising["miou"]) == ["1", "2", "5", "10"]


def test_the_browser_draws_the_curve_and_the_table_beside_it(root: Path, tmp_path: Path) -> None:
    text = (root / "boards/toy.md").read_text()
    rows = {row["Model"]: row for row in cells(section(text, "Over shots"), "Model")}
    for tier, names in (("all", ["rising", "flat", "seer"]), ("generalist", ["seer"])):
        view = f"dataset=toy&protocol=fixed-v1&shots=5&tier={tier}"
        dom = dump(root / "index.html", tmp_path / tier, view)
        part = re.search(r'<div id="curve".*?</section>', dom, re.DOTALL)
        assert part is not None
        for name in names:
            assert f'aria-label="{name}, 10-shot: {rows_of(rows, name)["10"]} (' in part[0]
        lines = [re.findall(r"<t[hd][^>]*>([^<]*)<", line) for line in part[0].split("<tr>")[1:]]
        found = {line[0]: line[1:] for line in lines if line[0] != "Model"}
        assert list(found) == names
        for name in names:
            assert found[name] == list(rows_of(rows, name).values())[1:]
        assert part[0].count("Small gains hide in noise") == 1
        ticks = re.findall(r'class="tick" x="([\d.]+)"[^>]*text-anchor="middle">(\d+)<', part[0])
        x = {int(shots): float(place) for place, shots in ticks}
        assert x[2] - x[1] == pytest.approx(x[10] - x[5], abs=0.1)  # a doubling is a doubling
    dom = dump(root / "index.html", tmp_path / "other", "dataset=other&protocol=fixed-v1")
    assert 'class="gains"' not in dom and dom.count("<polyline") == 1


def rows_of(rows: dict[str, dict[str, str]], name: str) -> dict[str, str]:
    return next(row for own, row in rows.items() if own.split()[0] == name)


def test_a_report_shows_the_curve_that_its_model_has(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    own = curve(tmp_path, "alpha")
    results = [result for score in own.rows[5].folds.values() for result in score.results]
    drawn = draw_plots(results, None, own)
    assert drawn["shots.png"][1].startswith(b"\x89PNG") and "shots.png" not in draw_plots(
        results, None
    )
    page = report_page(results, drawn, {}, own)
    table = page.partition("<h2>Over shots</h2>")[2].partition("</table>")[0]
    found = dict(re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", table))
    assert list(found)[:4] == ["1-shot", "2-shot", "5-shot", "Per doubling (95%)"]
    assert found["Per doubling (95%)"] == own.slope.signed()
    assert found["Saturated at"] == "not by 5" and found["Still gained (95%)"] == "–"
    assert "Over shots" not in report_page(results, {}, {})
