"""Names that come from files cannot become markup on any page, nor fields of a card."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.pictures.panel import Panel, Shown
from benchmarks.results.store import read_result
from datasets_prep.prepared.records import encode_png
from leaderboards.build import build
from leaderboards.committed.card import model_index
from leaderboards.page.report import report_page
from tests.leaderboards.synthetic import make_rows, make_setup, write_run

# A folder's name has no slash; the others have all that could be tried.
FOLDER = "\"'><script>alert(1)<script><img src=x onerror=alert(1)>`[a](http:x)|b"
TEXT = f"{FOLDER}</script></td></title><!--\r\n# heading\n| a | b |\n![x](http://evil/x.png) {{{{"
TEXT += "\\| 99.9 | https://evil.example/x www.evil.example a@evil.example \\"
NAMES: dict[str, Any] = {
    "name": FOLDER,
    "dataset": FOLDER,
    "title": TEXT,
    "kind": "model",
    "sees_test_classes": TEXT,
    "lists": TEXT,
    "classes": {0: TEXT, 1: TEXT + "2"},
    "digest": "<b>x</b>|`[a](http:x)",
    "episodes": "<b>x</b>|`[a](http:x)",
    "weights_digest": "<b>x</b>|`[a](http:x)",
    "device": TEXT,
    "dtype": TEXT,
    "config": {TEXT: TEXT},
    "folds": 1,
}
RECORD = {
    "hardware": TEXT,
    "revision": TEXT,
    "versions": {TEXT: TEXT},
    "started": TEXT,
}
PLAIN = {key: "x" for key, value in NAMES.items() if isinstance(value, str)} | {
    "kind": "model",
    "folds": 1,
    "classes": {0: "x", 1: "y"},
}
DOT = encode_png(np.zeros((1, 1, 3), np.uint8))


class Tags(HTMLParser):
    """Every tag with the names of its attributes, and comments."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def pages(root: Path, names: dict[str, Any], record: dict[str, Any], text: str) -> dict[str, str]:
    key = write_run(root / "results", record=record, **names)
    panel = Panel(text, DOT, key.model)
    gallery = {(key.dataset, key.protocol, key.shots): [Shown(text, (panel,))]}
    built = build(root / "results", root / "board", gallery=gallery)
    texts = [path for path in built.files if path.suffix in (".md", ".html")]
    found = {path.suffix + str(n): path.read_text() for n, path in enumerate(texts)}
    result = read_result(root / "results", key)
    return found | {".html": report_page([result], {"a.png": (text, DOT)}, {(0, 0): DOT})}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    good = pages(tmp_path_factory.mktemp("good"), PLAIN, {}, "x")
    return good, pages(tmp_path_factory.mktemp("evil"), NAMES, RECORD, TEXT)


def test_no_page_gets_a_tag(both: tuple[dict[str, str], dict[str, str]]) -> None:
    good, evil = both
    assert good.keys() == evil.keys()
    html = [name for name in good if name.startswith(".html")]
    assert len(html) == 2
    for name in html:
        assert Tags(evil[name]).found == Tags(good[name]).found


def test_markdown_gets_no_tag_link_or_block(both: tuple[dict[str, str], dict[str, str]]) -> None:
    good, evil = both
    pages = [name for name in good if name.startswith(".md")]
    assert len(pages) > 2
    for name in pages:
        plain, own = good[name], evil[name]
        # Sign by sign and not as cells: a pipe is no cell's end only where it is not there.
        for sign in ("<", "](", "\r", "\\", "://", "www.", "@evil"):
            assert own.count(sign) == plain.count(sign), (name, sign)
        assert len(own.splitlines()) == len(plain.splitlines()), name
        for block in (r"^#+ ", r"^\|", r"^- "):
            assert len(re.findall(block, own, re.M)) == len(re.findall(block, plain, re.M)), name
        columns = [line.count("|") for line in own.splitlines()]
        assert columns == [line.count("|") for line in plain.splitlines()], name


def test_a_card_holds_names_as_text(tmp_path: Path) -> None:
    key = write_run(tmp_path, record=RECORD, **NAMES)
    (model,) = yaml.safe_load(model_index([read_result(tmp_path, key)]))["model-index"]
    assert model["name"] == FOLDER
    assert model["results"][0]["dataset"]["type"] == FOLDER
    assert (
        len(make_rows(make_setup(**NAMES))) == model["results"][0]["dataset"]["args"]["episodes"][0]
    )
