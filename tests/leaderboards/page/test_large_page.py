"""Forty models on twelve datasets, and what a row opens to, in a browser."""

import copy
import html as markup
import json
import re
from pathlib import Path
from typing import Any

import pytest

from leaderboards.build import build
from leaderboards.page.html import html
from tests.leaderboards.page.test_page import WATCH, dump
from tests.leaderboards.synthetic import write_model

PROBE = """<script>
const seen = {};
const every = (selector) => [...document.querySelectorAll(selector)];
const boxes = (selector) => every(selector).map((n) => n.getBoundingClientRect());
const clashes = (list) => list.reduce((sum, a, i) => sum + list.slice(i + 1).filter((b) =>
  a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom).length, 0);
const cut = () => every("svg").flatMap((plot) => {
  const own = plot.getBoundingClientRect();
  return [...plot.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.right > own.right + 1 || box.bottom > own.bottom + 1 || box.top < own.top - 1;
  }).map((text) => text.textContent);
});
seen.opened = every(".detail dt").map((node) => node.textContent);
seen.command = document.querySelector(".detail code")?.textContent;
seen.link = document.querySelector(".detail p a")?.getAttribute("href");
seen.tables = every(".detail dd a").map((node) => node.getAttribute("href"));
seen.expanded = every("#results [aria-expanded=true]").length;
const button = document.querySelector("#results [aria-expanded=false]");
button.click();
seen.other = [every(".detail").length, document.activeElement.dataset.row, location.hash];
document.querySelector("#results [aria-expanded=true]").click();
seen.shut = every(".detail").length;
seen.hidden = every(".scroll").filter((n) => n.scrollWidth > n.clientWidth)
  .map((n) => n.id || n.closest("section").id);
seen.page = document.documentElement.scrollWidth - innerWidth;
seen.labels = [every("#cost .label").length, clashes(boxes("#cost .label")), cut()];
seen.sorted = ["name", "rank", "miou"].map((id) => {
  document.querySelector(`[data-sort="${id}"]`).click();
  return every("#results [data-row]").map((node) => node.dataset.row);
});
seen.axis = document.querySelector("#results .axis").textContent;
seen.bars = boxes("#results .range i").map((box) => box.width);
seen.across = every("#across tbody tr").length;
seen.missing = every("#across .missing").length;
seen.errors = errors;
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify(seen);
document.body.append(out);
</script>"""

FEW = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The data of a real page, its rows and settings repeated under other names."""
    root = tmp_path_factory.mktemp("large")
    for number in range(FEW):
        skill = 0.4 + 0.1 * number
        for dataset in ("one", "two"):
            name = f"model-{number}"
            write_model(root / "r", name, skill=skill, dataset=dataset, parameters=10**7)
    write_model(root / "r", "floor", skill=0.05, dataset="one", kind="floor")
    build(root / "r", root)
    few: dict[str, Any] = json.loads((root / "boards/board.json").read_text())
    setting = few["settings"][0]
    floor = [row for row in setting["rows"] if row["kind"] == "floor"]
    models = [row for row in setting["rows"] if row["kind"] == "model"]
    rows = []
    for number in range(40):
        row = copy.deepcopy(models[number % FEW])
        row["name"] = f"model-{number:02d}" + "-with-a-long-name" * (number % 3)
        row["ms"] *= 1.2**number
        for name in ("miou", "fb_iou"):
            row[name] = [value - number / 10 for value in row[name]]
        rows.append(row)
    places = [f"dataset-{number:02d}" for number in range(12)]
    few["settings"] = [{**setting, "dataset": name, "rows": rows + floor} for name in places]
    cells = {name: "50.0" for name in places[1:]} | {places[0]: "missing"}
    across = [{"name": row["name"], "rank": "1.0 (1.0–1.0)", "cells": cells} for row in rows]
    few["across"] = [{**few["across"][0], "datasets": places, "rows": across}]
    few["settings"][0]["rows"][0]["provenance"]["tables"] = [["fold 0", "results/a.parquet"]]
    return few


def probed(data: dict[str, Any], folder: Path, fragment: str, width: int) -> dict[str, Any]:
    page = html(data, {}).replace("<style>", WATCH + "<style>", 1)
    (folder / "page.html").write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom = dump(folder / "page.html", folder / "profile", fragment, width)
    match = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert match is not None, dom[-3000:]
    found: dict[str, Any] = json.loads(markup.unescape(match.group(1)))
    assert found["errors"] == []
    return found


@pytest.fixture(scope="module")
def seen(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("browser")
    return probed(data, folder, "dataset=dataset-03&row=model-00", 1280)


def test_the_page_stays_below_two_megabytes(data: dict[str, Any]) -> None:
    assert len(html(data, {}).encode()) < 2_000_000


def test_it_sorts_all_rows(data: dict[str, Any], seen: dict[str, Any]) -> None:
    rows = data["settings"][0]["rows"]
    by_name, by_rank, by_miou = seen["sorted"]
    assert by_name == sorted(row["name"] for row in rows)
    assert sorted(by_rank) == by_name
    assert by_miou == [r["name"] for r in sorted(rows, key=lambda r: r["miou"][0], reverse=True)]


def test_no_scroll_bar_hides_columns_at_1280_pixels(seen: dict[str, Any]) -> None:
    assert seen["hidden"] == [] and seen["page"] <= 0


def test_labels_of_close_points_do_not_overlap(seen: dict[str, Any]) -> None:
    assert seen["labels"] == [41, 0, []]


def test_intervals_are_seen_on_an_axis_that_says_that_it_is_zoomed(seen: dict[str, Any]) -> None:
    assert "zoomed" in seen["axis"]
    ends = list(map(int, re.findall(r"\d+", seen["axis"])))
    assert 0 < ends[0] < ends[1] < 100
    assert len(seen["bars"]) == 40  # the floor lies beyond
    assert min(seen["bars"]) >= 8


def test_a_link_opens_a_row_with_all_that_repeats_it(seen: dict[str, Any]) -> None:
    assert seen["opened"][:2] == ["Command", "Verified by"]
    for fact in ("Weights", "Device", "Date", "Versions", "Digests of the counts", "Text prompts"):
        assert fact in seen["opened"]
    assert seen["command"].startswith("bench run --datasets one --protocol fixed-v1 --shots 1")
    assert "row=model-00" in seen["link"] and "dataset=dataset-03" in seen["link"]
    assert seen["tables"] == ["results/a.parquet"]
    assert seen["expanded"] == 1 and seen["shut"] == 0
    number, focus, address = seen["other"]
    assert number == 1 and f"row={focus}" in address


def test_the_overview_shows_what_is_missing(seen: dict[str, Any]) -> None:
    assert (seen["across"], seen["missing"]) == (40, 40)


def test_a_phone_shows_the_table_without_scrolling(data: dict[str, Any], tmp_path: Path) -> None:
    found = probed(data, tmp_path, "dataset=dataset-03", 500)  # Chromium's narrowest window
    assert "results" not in found["hidden"] and found["page"] <= 0
    assert found["labels"][1:] == [0, []]
