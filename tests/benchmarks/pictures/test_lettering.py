"""Labels are drawn with letters that are there."""

import pytest

from benchmarks.pictures import lettering as module
from benchmarks.pictures.canvas import Canvas
from benchmarks.pictures.lettering import lettering, spelled


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("grüner Bär, ёлка", "grüner Bär, ёлка"),
        ("Ελλάς, ế – → −5", "Ελλάς, ế – → −5"),
        ("고양이 50%", "goyangi 50%"),
        ("ねこ", "neko"),
        ("one line\nand another", "one line\nand another"),
        ("猫", "<732b>"),
        ("猫é", "<732b>é"),
        ("कि", "<915><93f>"),  # the second a mark, which stands alone when it is judged
    ],
)
def test_letters_that_no_font_has_are_spelled(
    monkeypatch: pytest.MonkeyPatch, text: str, drawn: str
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(module, "wide_font", lambda: None)
    assert spelled(text) == drawn
    label, font = lettering(text, 11)
    assert label == drawn
    assert font.getname()[0] == ("Aileron" if drawn.isascii() else "DejaVu Sans")


def test_pillows_own_font_is_little_but_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    for find in ("plots_font", "wide_font"):
        monkeypatch.setattr(module, find, lambda: None)
    label, font = lettering("Bär ½ ≠ ё\u2009", 11)
    assert label == "Bar <bd> <2260> <451><2009>"
    assert font.getname()[0] == "Aileron"


def test_plots_spell_only_what_their_font_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    for name in ("canvas", "lettering"):
        monkeypatch.setattr(f"benchmarks.pictures.{name}.wide_font", lambda: None)
    with Canvas(4, 3) as canvas:
        canvas.axes.set_xticks([0, 1], ["ế–→", "猫 ế"])
        canvas.png()
        labels = [label.get_text() for label in canvas.axes.get_xticklabels()]
    assert labels == ["ế–→", "<732b> ế"]


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
    monkeypatch.setattr(module, "plots_font", lambda: None)
    module.wide_font.cache_clear()
    try:
        text, font = lettering("→", 11)
    finally:
        module.wide_font.cache_clear()
    assert text == "→"
    assert font.getname()[0] == "DejaVu Sans"
