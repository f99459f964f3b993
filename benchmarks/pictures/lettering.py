"""Letters of pictures: those of a font that has them, or a spelling of them in Latin ones."""

import logging
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import cast

from PIL import ImageFont

_FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts",
    "/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
# By the beginnings of their files, those with most letters first.
_FONTS = (
    "NotoSansCJK", "NotoSerifCJK", "SourceHanSans", "DroidSansFallback", "unifont", "PingFang",
    "Hiragino", "AppleSDGothicNeo", "Arial Unicode", "msyh", "simsun", "meiryo", "malgun", "wqy-",
    "NotoSansSC", "NotoSansJP", "NotoSansKR", "NanumGothic", "ipag", "TakaoGothic",
)  # fmt: skip
_SUFFIXES = (".ttf", ".ttc", ".otf")
_NO_LETTER = "\U0010ffff"  # what no font has is drawn as this is


def lettering(text: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """What to draw for a label, and the first font with all of its letters, or with most of them.

    Args:
        text: the label; letters that its font lacks are spelled as `spelled` does.
        size: of the letters in pixels.
    """
    lacking: dict[str | None, int] = {}
    for path in _files():
        lacking[path] = sum(not _has(path, letter) for letter in text)
        if not lacking[path]:
            break
    best = min(lacking, key=lacking.__getitem__)
    return _spelled(text, [best]), _font(best, size)


def _files() -> Iterator[str | None]:
    """Fonts for a label, each looked for when needed; None is Pillow's own, little but ASCII."""
    yield None
    for find in (plots_font, wide_font):
        if path := find():
            yield path


@cache
def plots_font() -> str | None:
    """The file of the font of plots, DejaVu Sans, which comes with matplotlib; None without it."""
    try:
        from matplotlib import get_data_path
    except ImportError:
        return None
    return f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@cache
def wide_font() -> str | None:
    """The file of an installed font with Chinese, Japanese or Korean letters, if there is one."""
    files = [
        path
        for folder in _FOLDERS
        for path in sorted(Path(folder).expanduser().rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    for name in _FONTS:
        for path in files:
            if path.name.lower().startswith(name.lower()):
                return str(path)
    return None


def spelled(text: str) -> str:
    """A plot's text with every letter that no font of plots has spelled as Unicode describes it.

    `고양이` becomes `goyangi` and `é` becomes `e`; of Chinese characters, whose sounds Unicode does
    not tell, and of others the number is left: `<732b>`.
    """
    return _spelled(text, [path for path in (plots_font(), wide_font()) if path])


def _spelled(text: str, paths: Sequence[str | None]) -> str:
    lacking = {letter for letter in text if not any(_has(path, letter) for path in paths)}
    if lacking:
        _say_once()
    return "".join(_sound(letter) if letter in lacking else letter for letter in text)


@cache
def _has(path: str | None, letter: str) -> bool:
    return letter == "\n" or _drawn(path, letter) != _drawn(path, _NO_LETTER)


def _drawn(path: str | None, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = _judge(path).getmask(letter)
    return mask.size, bytes(mask)


@cache
def _judge(path: str | None) -> ImageFont.FreeTypeFont:
    # Another layout sets a circle beside marks that stand alone, whether the font has them or not.
    return _font(path, 16).font_variant(layout_engine=ImageFont.Layout.BASIC)


@cache
def _font(path: str | None, size: int) -> ImageFont.FreeTypeFont:
    # Of a given size, Pillow's own font is never the bitmap that its type allows.
    if path is None:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    return ImageFont.truetype(path, size)


def _sound(letter: str) -> str:
    name = unicodedata.name(letter, "")
    for kind in ("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER "):
        if name.startswith(kind):
            return name.removeprefix(kind).split()[-1].lower()
    bare = unicodedata.normalize("NFD", letter)[0]
    if bare.isascii() and bare.isalpha():
        return bare
    return f"<{ord(letter):x}>"


@cache
def _say_once() -> None:
    logging.getLogger(__name__).warning(
        "no font here has every letter of the labels, so pictures spell some; "
        "install one, such as Noto Sans CJK (fonts-noto-cjk)"
    )
