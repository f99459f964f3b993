"""Labels are drawn with letters that are there."""

import pytest
from PIL import ImageFont

from benchmarks.pictures import lettering as module
from benchmarks.pictures.canvas import Canvas
from benchmarks.pictures.lettering import lettering, spelled


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("grüner Bär, ёлка", "grüner Bär, ёлка"),
        ("고양이 50%", "goyangi 50%"),
        ("ねこ", "neko"),
        ("猫", "<732b>"),
    ],
)
def test_letters_that_no_font_has_are_spelled(
    monkeypatch: pytest.MonkeyPatch, text: str, drawn: str
) -> None:
    monkeypatch.setattr(module, "wide_font", lambda: None)
    assert spelled(text) == drawn
    assert lettering(text, 11)[0] == drawn


def test_numbers_of_an_axis_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("benchmarks.pictures.canvas.wide_font", lambda: None)
    with Canvas(4, 3) as canvas:
        canvas.axes.plot([0, 1], [-7, 100])
        limits = canvas.axes.get_ylim()
        canvas.png()
        labels = [label.get_text() for label in canvas.axes.get_yticklabels()]
    assert canvas.axes.get_ylim() == limits
    assert not [label for label in labels if "<" in label]


def test_an_installed_font_draws_them_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    path = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    folder = tmp_path_factory.mktemp("fonts") / "deep"
    folder.mkdir()
    (folder / "NotoSansCJK-Regular.ttc").symlink_to(path)
    monkeypatch.setattr(module, "_FOLDERS", (str(folder.parent),))
    module.wide_font.cache_clear()
    try:
        text, font = lettering("猫", 11)
    finally:
        module.wide_font.cache_clear()
    assert text == "猫"
    assert isinstance(font, ImageFont.FreeTypeFont) and font.getname()[0] == "DejaVu Sans"
