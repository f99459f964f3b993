"""Pictures that stay beside the boards when these are built again elsewhere."""

import json
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.pictures.panel import Panel, Shown
from leaderboards.build import build
from leaderboards.committed.gallery import GALLERY, add_to_gallery, gallery_data, read_gallery
from leaderboards.tables.markdown import BOARDS
from tests.leaderboards.synthetic import write_model
from tests.leaderboards.tables.test_pictures import BLUE, EPISODE, RED, colours, jpeg

PLACE = ("toy", "fixed-v1", 1)
SHEET = "boards/pictures/toy-fixed-v1-1shot.jpg"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, skill in (("alpha", 0.4), ("beta", 0.8)):
        write_model(tmp_path / "r", name, skill=skill)
    return tmp_path / "r"


def test_boards_that_are_built_again_keep_their_pictures(store: Path, tmp_path: Path) -> None:
    boards = tmp_path / "b"
    first = build(store, boards, gallery={PLACE: [EPISODE]})
    before = {path: path.read_bytes() for path in first.files}
    assert boards / BOARDS / GALLERY in before and boards / SHEET in before
    again = build(store, boards)
    assert {path: path.read_bytes() for path in again.files} == {
        path: content for path, content in before.items() if path.name != GALLERY
    }
    assert read_gallery(boards / BOARDS) == {PLACE: [EPISODE]}


def test_a_new_model_stands_beside_those_that_were_drawn(store: Path, tmp_path: Path) -> None:
    build(store, tmp_path / "b", gallery={PLACE: [EPISODE]})
    query, *_, beta = EPISODE.panels
    mine = Shown(EPISODE.title, (query, Panel("alpha 90", jpeg(RED), "alpha")))
    build(store, tmp_path / "b", gallery={PLACE: [mine], ("other", "fixed-v1", 5): [mine]})
    kept = read_gallery(tmp_path / "b" / BOARDS)
    assert [panel.label for panel in kept[PLACE][0].panels] == [
        "query", "alpha 90", "random 10", "beta 80",
    ]  # fmt: skip
    assert kept[PLACE][0].panels[-1] == beta
    assert kept["other", "fixed-v1", 5] == [mine]
    assert colours((tmp_path / "b" / SHEET).read_bytes(), 34) == ["red", "blue", "red"]


def test_episodes_that_are_not_drawn_any_more_go() -> None:
    other = Shown("ring (fold 0, episode 3)", (Panel("query", jpeg(BLUE)),))
    assert add_to_gallery({PLACE: [EPISODE]}, {PLACE: [other]}) == {PLACE: [other]}


def test_episodes_of_folds_that_are_not_drawn_stay() -> None:
    def shown(fold: int, episode: int, model: str) -> Shown:
        panels = (Panel("query", jpeg(BLUE)), Panel(f"{model} 50", jpeg(RED), model))
        return Shown(f"disc (fold {fold}, episode {episode})", panels)

    kept = [shown(fold, episode, "alpha") for fold in (1, 2, 10) for episode in (0, 7)]
    drawn = [shown(2, episode, "beta") for episode in (0, 8)]
    together = add_to_gallery({PLACE: kept}, {PLACE: drawn})[PLACE]
    assert [own.title for own in together] == [
        f"disc (fold {fold}, episode {episode})"
        for fold, episode in ((1, 0), (1, 7), (2, 0), (2, 8), (10, 0), (10, 7))
    ]
    assert [*together[:2], *together[4:]] == [*kept[:2], *kept[4:]]
    assert [panel.model for panel in together[2].panels] == [None, "beta", "alpha"]
    assert together[3] == drawn[1]


def test_a_gallery_that_is_damaged_is_named(tmp_path: Path) -> None:
    whole = gallery_data({PLACE: [EPISODE]})
    other = json.dumps(whole).replace("data:image/jpeg", "https://example.org/")
    for text in ("{", "[]", '{"toy": []}', '{"toy/fixed-v1/1": [{}]}', other):
        (tmp_path / GALLERY).write_text(text)
        with pytest.raises(BenchError, match=r"gallery\.json is damaged"):
            read_gallery(tmp_path)


def test_plots_stay_until_they_are_drawn_again(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    cost, gone = (f"plots/{name}-fixed-v1-1shot-cost.png" for name in ("toy", "gone"))
    boards = tmp_path / "b/boards"
    build(store, tmp_path / "b", plots=True)
    (boards / gone).write_bytes(b"of a dataset that left the board")
    build(store, tmp_path / "b")
    assert (boards / cost).is_file() and (boards / gone).is_file()
    page = (boards / "pictures.md").read_text()
    assert cost in page and gone not in page
    build(store, tmp_path / "b", plots=True)
    assert (boards / cost).is_file() and not (boards / gone).exists()
    assert (boards / "pictures.md").read_text() == page
