"""Letters of pictures: those of a font that has them, or a spelling of them in Latin ones."""

import logging
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

# From here on Unicode has what neither Pillow's nor matplotlib's own font draws: CJK and Hangul.
_FIRST = 0x1100
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

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def lettering(text: str, size: int) -> tuple[str, Font]:
    """What to draw for a label, and the font that has all of its letters.

    Args:
        text: the label.
        size: of the letters in pixels.
    """
    if not _is_wide(text):
        return text, ImageFont.load_default(size)
    path = wide_font()
    if path is None:
        return spelled(text), ImageFont.load_default(size)
    return text, ImageFont.truetype(path, size)


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
    """A text with every letter that no font here draws spelled by its name in Unicode.

    `고양이` becomes `goyangi`; of Chinese characters, whose sounds Unicode does not tell, the
    number is left: `<732b>`.
    """
    if not _is_wide(text):
        return text
    _say_once()
    return "".join(_sound(letter) if ord(letter) >= _FIRST else letter for letter in text)


def _is_wide(text: str) -> bool:
    return any(ord(letter) >= _FIRST for letter in text)


def _sound(letter: str) -> str:
    name = unicodedata.name(letter, "")
    for kind in ("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER "):
        if name.startswith(kind):
            return name.removeprefix(kind).split()[-1].lower()
    return f"<{ord(letter):x}>"


@cache
def _say_once() -> None:
    logging.getLogger(__name__).warning(
        "no font here has Chinese, Japanese and Korean letters, so pictures spell them; "
        "install one, such as Noto Sans CJK (fonts-noto-cjk)"
    )
