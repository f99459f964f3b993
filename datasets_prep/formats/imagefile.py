"""A file with an image that somebody else made: whether it decodes, and a copy to keep."""

import hashlib
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from datasets_prep.errors import DatasetError
from datasets_prep.runtime.whole import whole_file

# More pixels than any dataset's largest images have; Pillow warns from here on.
MAX_PIXELS = 89_478_485
# Pillow knows many more, and would start Ghostscript for one of them.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_ORIENTATION = 274  # EXIF
_BITS_PER_SAMPLE = 258  # TIFF
HEADER = 26  # bytes; the last are a PNG's depth and the type of its colours
_POINTER = b"version https://git-lfs"
# What `open_image`, and decoding after it, raise over damaged files.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, zlib.error)


@dataclass(frozen=True)
class ImageFile:
    """An image file that decodes to its end.

    Attributes:
        sha256: of the file's bytes.
        width: in pixels.
        height: in pixels.
        mode: Pillow's name for the kind of its pixels.
        deep: whether a channel has more than 8 bits; Pillow cuts those of colours to 8.
        orientation: of EXIF, 1 for an image that is stored upright, else 2..8.
    """

    sha256: str
    width: int
    height: int
    mode: str
    deep: bool = False
    orientation: int = 1


def open_image(source: Path | IO[bytes]) -> Image.Image:
    """Pillow's `Image.open`, but for other `FORMATS` and images that would take any memory.

    Raises:
        OSError, or another of `UNREADABLE`: if it is missing, damaged, of another kind, or has too
            many pixels.
    """
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(_instead(source)) from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Image.DecompressionBombError(
            f"it is {image.width}×{image.height}, more than {MAX_PIXELS:,} pixels"
        )
    return image


def checked_image(path: Path) -> ImageFile:
    """Hash an image file and decode all of it.

    Raises:
        DatasetError: naming the file, if it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            header = file.read(HEADER)
            file.seek(0)
            with open_image(file) as image:
                deep, orientation = is_deep(image, header), image.getexif().get(_ORIENTATION, 1)
                image.load()
        known = orientation if orientation in range(1, 9) else 1
        return ImageFile(sha256, image.width, image.height, image.mode, deep, known)
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a readable image: {error}") from None


def checked_with_mask(
    image: Path, mask: Path, read: Callable[[Path], NDArray[Any]], kept: Path
) -> tuple[ImageFile, NDArray[Any], Path]:
    """Check an image and its mask, which must be as large, and have the image where it is kept.

    The mask's pixels come back, and where the image is kept; see `keep_copy`.

    Args:
        image: the image file.
        mask: the file of its mask.
        read: gives the mask's pixels, H×W.
        kept: where the image is to lie; `image` itself if it may stay where it is.

    Raises:
        DatasetError: naming the file that is missing or damaged, or both if their sizes differ.
    """
    found = checked_image(image)
    try:
        pixels = read(mask)
    except UNREADABLE as error:
        raise DatasetError(f"{mask} is not a readable mask: {error}") from None
    if pixels.shape != (found.height, found.width):
        raise DatasetError(
            f"{image} is {found.width}×{found.height}, but {mask} is "
            f"{pixels.shape[1]}×{pixels.shape[0]}"
        )
    return found, pixels, keep_copy(image, kept, found.sha256)


def _instead(source: Path | IO[bytes]) -> str:
    """What a file is that is none of `FORMATS`."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            start = file.read(len(_POINTER))
    else:
        source.seek(0)
        start = source.read(len(_POINTER))
    if start == _POINTER:
        return "it stands for a file that Git LFS has: git lfs pull"
    return f"it is no {', '.join(FORMATS)}" if start else "it is empty"


def is_deep(image: Image.Image, header: bytes) -> bool:
    """Whether a file has more than 8 bits a channel, whatever Pillow makes of them.

    Args:
        image: opened from the file.
        header: the file's first `HEADER` bytes.
    """
    if image.mode.startswith(("I", "F")):
        return True
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
    return bool(image.format == "PNG" and header[-2] == 16)


def is_scaled(image: Image.Image, header: bytes) -> bool:
    """Whether Pillow spreads a file's grey over 0..255: of 2 bits, 3 becomes 255.

    Args:
        image: opened from the file.
        header: the file's first `HEADER` bytes.
    """
    depth, grey = header[-2] in (2, 4), header[-1] == 0
    return bool(image.format == "PNG" and depth and grey)


def upright(path: Path) -> Image.Image:
    """An image in RGB, turned as its EXIF orientation says."""
    with open_image(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def keep_copy(source: Path, target: Path, sha256: str) -> Path:
    """Copy a file of this hash, whole or not at all, unless it is there already.

    What was prepared before may point to another file of that name: that is left alone, and the
    copy has the beginning of its hash in its name.

    Returns:
        Where the file is kept.
    """
    if source == target or _has(target, sha256):
        return target
    if target.is_file():
        target = target.with_name(f"{target.stem}.{sha256[:8]}{target.suffix}")
    if not _has(target, sha256):
        with whole_file(target) as partial:
            shutil.copyfile(source, partial)
    return target


def _has(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
