"""The page: what is in it, and what it does in a browser."""

import html as markup
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.pictures.panel import Panel, Shown
from leaderboards.build import Built, build
from leaderboards.page.html import html, to_json
from tests.leaderboards.synthetic import write_model, write_run

EVIL = "</script><img src=x onerror=alert(1)>"


def picture(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), (value, value, value)).save(buffer, format="JPEG")
    return buffer.getvalue()


PANELS = (
    Panel("query", picture(0)),
    Panel("dense-nn 70", picture(90), "dense-nn"),
    Panel("giant 80", picture(180), "giant"),
)
GALLERY = {("toy", "fixed-v1", 1): [Shown("disc (fold 0, episode 0)", PANELS)]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("page")
    for shots in (1, 5):
        write_model(root / "r", "dense-nn", skill=0.7, shots=shots, title=EVIL)
        write_model(root / "r", "prototype", skill=0.5, seed=2, shots=shots)
    write_model(root / "r", "random", skill=0.3, kind="floor", parameters=0)
    write_model(root / "r", "giant", skill=0.9, sees_test_classes="yes", parameters=354_000_000)
    write_model(root / "r", "halfway", skill=0.95, folds=2)
    write_model(root / "r", "quick", count=20, limit=20)
    write_model(root / "r", "hsnet", dataset="pascal", protocol="hsnet")
    return build(root / "r", root / "boards", gallery=GALLERY)


def read(built: Built, name: str) -> str:
    (path,) = (path for path in built.files if path.name == name)
    return path.read_text(encoding="utf-8")


def embedded(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return json.loads(match.group(1))


def test_the_page_holds_its_data_file(built: Built) -> None:
    data = embedded(read(built, "index.html"))
    assert data == json.loads(read(built, "board.json"))
    names = [(s["dataset"], s["protocol"], s["shots"], s["limit"]) for s in data["settings"]]
    assert names == [
        ("pascal", "hsnet", 1, None),
        ("toy", "fixed-v1", 1, None),
        ("toy", "fixed-v1", 5, None),
        ("toy", "fixed-v1", 1, 20),
    ]
    rows = {row["name"]: row for row in data["settings"][1]["rows"]}
    assert [(row["name"], row["rank"]) for row in data["settings"][1]["rows"]] == [
        ("giant", [1, 1]),
        ("dense-nn", [1, 1]),
        ("prototype", [2, 2]),
        ("random", None),
        ("halfway", None),
    ]
    own = built.settings[1].rows[1]
    assert own.miou is not None
    assert rows["dense-nn"]["miou"] == [
        round(100 * value, 4)
        for value in (own.miou.value, own.miou.interval.low, own.miou.interval.high)
    ]
    assert rows["halfway"]["miou"] is None and sorted(rows["halfway"]["folds"]) == ["0", "1"]
    assert len(rows["dense-nn"]["classes"]) == 8
    assert {number["dataset"] for number in data["reported"]} >= {"pascal", "coco", "lvis"}


def test_classes_stand_below_the_fold_that_tests_them(tmp_path: Path) -> None:
    for fold in (1, 2, 3):
        write_run(tmp_path / "r", fold=fold, untested=(0,))
    data = json.loads(read(build(tmp_path / "r", tmp_path), "board.json"))
    found = data["settings"][0]["classes"]
    assert [part for part, _ in found] == ["fold 1", "fold 2", "fold 3"]
    assert [index for _, classes in found for index, _ in classes] == list("234567")


def test_no_name_can_become_markup(built: Built) -> None:
    page = read(built, "index.html")
    assert "<img" not in page
    assert EVIL in [row["title"] for s in embedded(page)["settings"] for row in s["rows"]]
    data = {"settings": [], "reported": [], "name": EVIL + "\u2028<!--"}
    assert embedded(html(data, {})) == data
    assert "<" not in to_json(data)
    scripts = "".join(re.findall(r"<script>.*?</script>", page, re.DOTALL))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", scripts)


def test_nothing_is_fetched_from_anywhere(built: Built) -> None:
    page = read(built, "index.html")
    assert "default-src 'none'" in page
    namespace = "http://www.w3.org/2000/svg"
    assert set(re.findall(r"https?://[^\s\"'<\\]+", page)) == {namespace}
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|@import|url\(", page)


def test_the_scripts_are_small(built: Built) -> None:
    page = read(built, "index.html")
    data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert len(data) == 2
    assert len(page) - sum(map(len, data)) < 40_000


# In a browser

WATCH = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
console.error = (...words) => errors.push(words.join(" "));
</script>"""

PROBE = """<script>
const seen = {};
const all = (selector) => [...document.querySelectorAll(selector)];
const text = (selector) => all(selector).map((node) => node.textContent);
const models = () => all("#results tbody .name").map((node) => node.dataset.name);
const choose = (id, value) => {
  at(id).value = value;
  at(id).dispatchEvent(new Event("change", { bubbles: true }));
};
const sortBy = (id) => document.querySelector(`[data-sort="${id}"]`).click();
const order = () => document.querySelector("#results [aria-sort]").getAttribute("aria-sort");

seen.address = [models(), at("shots").value];
choose("dataset", "pascal");
seen.pascal = [models(), document.querySelectorAll("#reported tbody tr").length];
choose("dataset", "toy");
seen.start = models();
sortBy("name");
seen.byName = [models(), order()];
sortBy("name");
seen.byNameDown = [models(), order(), document.activeElement.dataset.sort];
sortBy("fold2");
seen.byFold = models();
sortBy("miou");
choose("tier", "generalist");
seen.generalist = models();
choose("tier", "strict");
at("extras").click();
seen.comparable = models();
at("search").value = "DENSE";
at("search").dispatchEvent(new Event("input"));
seen.found = models();
at("search").value = "";
at("extras").click();
choose("tier", "all");
choose("shots", "5");
seen.fiveShot = models();
seen.curve = document.querySelectorAll("#curve polyline").length;
choose("shots", "1");
seen.points = document.querySelectorAll("#cost g[tabindex]").length;
document.querySelector("input[name=cost][value=parameters]").click();
seen.withParameters = document.querySelectorAll("#cost g[tabindex]").length;
seen.label = document.querySelector("#cost g").getAttribute("aria-label");
seen.heat = [all(".heat tbody td").length, text(".heat tbody .name").slice(0, 2), text(".fold")];
const folds = all("#columns input").find((box) => box.value === "folds");
seen.heads = text("#results thead th").length;
folds.click();
seen.headsWithoutFolds = text("#results thead th").length;
choose("protocol", "fixed-v1, first 20");
seen.cut = [models(), document.querySelector("caption").textContent];
seen.unlabelled = all("input, select").filter((node) => !node.labels.length).length;
seen.injected = document.querySelectorAll("img").length;
choose("protocol", "fixed-v1");
seen.title = document.querySelector("#results th.name[title*=img]").title;
seen.hash = location.hash;
seen.resources = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.errors = errors;
const strip = () => all("#episodes img").map((image) => [image.alt, image.naturalWidth]);
const report = () => {
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
};
seen.closed = [at("gallery").hidden, strip()];
document.querySelector("#gallery summary").click();
setTimeout(() => {
  seen.gallery = strip();
  choose("tier", "generalist");
  seen.filtered = strip().map(([alt]) => alt.split(": ")[1]);
  choose("dataset", "pascal");
  seen.without = at("gallery").hidden;
  report();
}, 200);
</script>"""


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("there is no Chromium here (apt-get install chromium)")


def dump(page: Path, folder: Path, fragment: str, width: int = 1200) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [
        f"--user-data-dir={folder}",
        f"--window-size={width},900",
        "--virtual-time-budget=2000",
    ]
    done = subprocess.run(
        [chromium(), *flags, "--dump-dom", f"{page.as_uri()}#{fragment}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def seen(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("browser")
    page = read(built, "index.html").replace("<style>", WATCH + "<style>", 1)
    (folder / "page.html").write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom = dump(folder / "page.html", folder / "profile", "dataset=toy&shots=5")
    match = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert match is not None, dom[-3000:]
    return json.loads(markup.unescape(match.group(1)))


def test_the_browser_finds_no_fault_and_fetches_nothing(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert seen["resources"] == []
    assert seen["injected"] == 0
    assert seen["title"] == EVIL


def test_a_view_can_be_passed_on_as_an_address(seen: dict[str, Any]) -> None:
    assert seen["address"] == [["dense-nn", "prototype"], "5"]
    assert "dataset=toy" in seen["hash"] and "cost=parameters" in seen["hash"]


def test_the_table_sorts(seen: dict[str, Any]) -> None:
    assert seen["start"] == ["giant", "dense-nn", "prototype", "random", "halfway"]
    names = ["dense-nn", "giant", "halfway", "prototype", "random"]
    assert seen["byName"] == [names, "ascending"]
    assert seen["byNameDown"] == [names[::-1], "descending", "name"]
    assert seen["byFold"][0] == "giant" and seen["byFold"][-1] == "halfway"


def test_the_table_filters(seen: dict[str, Any]) -> None:
    assert seen["generalist"] == ["giant"]
    assert seen["comparable"] == ["dense-nn", "prototype", "halfway"]
    assert seen["found"] == ["dense-nn"]
    assert seen["fiveShot"] == ["dense-nn", "prototype"]
    assert seen["pascal"][0] == ["hsnet"] and seen["pascal"][1] > 10
    assert seen["cut"][0] == ["quick"] and "not comparable" in seen["cut"][1]
    assert seen["heads"] - seen["headsWithoutFolds"] == 4


def test_plots_and_heat_map_show_what_the_table_shows(seen: dict[str, Any]) -> None:
    assert seen["curve"] == 4
    assert (seen["points"], seen["withParameters"]) == (4, 3)
    assert re.match(r"giant: \d\d\.\d \(\d\d\.\d–\d\d\.\d\), 354\.0M parameters", seen["label"])
    assert seen["heat"] == [8 * 5, ["disc", "ring"], [f"fold {fold}" for fold in range(4)]]


def test_the_gallery_opens_and_follows_the_filters(seen: dict[str, Any]) -> None:
    assert seen["closed"] == [False, []]
    title = "disc (fold 0, episode 0)"
    assert seen["gallery"] == [[f"{title}: {panel.label}", 16] for panel in PANELS]
    assert seen["filtered"] == ["query", "giant 80"]
    assert seen["without"] is True


def test_every_control_has_a_label(seen: dict[str, Any]) -> None:
    assert seen["unlabelled"] == 0
