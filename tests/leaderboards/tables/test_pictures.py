"""The page of pictures: models on the same episodes."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.pictures.panel import Panel, Shown
from leaderboards.build import build
from leaderboards.page.plots import plot_name
from leaderboards.tables.pictures import pictures, sheet
from tests.leaderboards.synthetic import write_model, write_run


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 24)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


RED, GREEN, BLUE, GREY = (220, 0, 0), (0, 180, 0), (0, 0, 220), (128, 128, 128)
EPISODE = Shown(
    "disc (fold 0, episode 0)",
    (
        Panel("query", jpeg(RED)),
        Panel("random 10", jpeg(GREY), "random"),
        Panel("alpha 60", jpeg(GREEN), "alpha"),
        Panel("beta 80", jpeg(BLUE), "beta"),
    ),
)


def colours(picture: bytes, row: int) -> list[str]:
    """The names of the colours along one line of pixels, each stretch once."""
    line = np.asarray(Image.open(io.BytesIO(picture)))[row].astype(int)
    names = {"red": RED, "green": GREEN, "blue": BLUE, "grey": GREY, "white": (255,) * 3}
    seen = []
    for pixel in line:
        name = min(names, key=lambda own: abs(pixel - names[own]).sum())
        if not seen or seen[-1] != name:
            seen.append(name)
    return [name for name in seen if name != "white"]


def test_a_sheet_has_a_row_an_episode_and_the_models_in_their_order() -> None:
    second = Shown("ring", (Panel("query", jpeg(GREY)), Panel("alpha 1", jpeg(GREEN), "alpha")))
    picture = sheet([EPISODE, second], ["beta", "alpha"])
    assert picture == sheet([EPISODE, second], ["beta", "alpha"])
    assert colours(picture, 6 + 16 + 12) == ["red", "blue", "green"]
    assert colours(picture, 6 + 16 + 24 + 6 + 16 + 12) == ["grey", "green"]


def test_the_page_shows_models_best_first_and_no_floors(tmp_path: Path) -> None:
    for name, skill, kind in (
        ("alpha", 0.4, "model"),
        ("beta", 0.8, "model"),
        ("random", 0, "floor"),
    ):
        write_model(tmp_path / "r", name, skill=skill, kind=kind)
    write_run(tmp_path / "r", name="alone", skill=0.9, trained_fold=0)
    write_model(tmp_path / "r", "undrawn", skill=0.9)
    gallery = {("toy", "fixed-v1", 1): [EPISODE], ("gone", "fixed-v1", 1): [EPISODE]}
    built = build(tmp_path / "r", tmp_path / "boards", gallery=gallery)
    text = (tmp_path / "boards/boards/pictures.md").read_text()
    assert re.findall(r"!\[(.+)\]\((.+)\)", text) == [
        ("Episodes of toy with the masks of beta, alpha", "pictures/toy-fixed-v1-1shot.jpg")
    ]
    drawn = tmp_path / "boards/boards/pictures/toy-fixed-v1-1shot.jpg"
    assert drawn in built.files
    assert colours(drawn.read_bytes(), 34) == ["red", "blue", "green"]


def test_a_plot_of_several_shots_is_shown_once_and_no_heading_stands_alone(tmp_path: Path) -> None:
    for shots in (1, 5):
        write_model(tmp_path / "r", "alpha", skill=0.4, shots=shots)
    built = build(tmp_path / "r", tmp_path / "b")
    settings = [setting for setting in built.settings if setting.dataset == "toy"]
    page = pictures(settings, {}, {plot_name(settings[0], "shots")})["pictures.md"]
    assert isinstance(page, str)
    assert re.findall(r"^## .*|^!", page, re.MULTILINE) == ["## toy, fixed-v1, 1-shot", "!"]
