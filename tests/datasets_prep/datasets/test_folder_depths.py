"""Folders with 16 bits a channel: Pillow keeps the upper 8 of colours, and says nothing."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets_prep.errors import DatasetError
from tests.datasets_prep import folders
from tests.datasets_prep.folders import label_map, make, photo

quick, top = folders.quick, folders.top
Pixels = NDArray[np.uint16]
# Grey, grey with alpha, RGB, RGBA: channels of a PNG by the type of its colours.
COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def packed(row: Pixels, bits: int) -> bytes:
    text = "".join(f"{value:0{bits}b}" for value in row.ravel())
    size = -(-len(text) // 8)
    return int(text.ljust(8 * size, "0"), 2).to_bytes(size)


def png(path: Path, pixels: Pixels, bits: int = 16) -> None:
    height, width, channels = pixels.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPE[channels], 0, 0, 0)
    rows = b"".join(b"\0" + packed(row, bits) for row in pixels)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def tiff(path: Path, pixels: Pixels) -> None:
    height, width, channels = pixels.shape
    count = 9 + (channels == 4)
    bits = 8 + 2 + 12 * count + 4
    entries = [
        *((256, width, 1), (257, height, 1)),
        (258, 16 if channels == 1 else bits, channels),
        *((259, 1, 1), (262, 1 if channels == 1 else 2, 1)),
        *((273, bits + 8, 1), (277, channels, 1), (278, height, 1), (279, pixels.nbytes, 1)),
        *([(338, 2, 1)] if channels == 4 else []),
    ]
    body = b"II*\0" + struct.pack("<IH", 8, count)
    for tag, value, number in entries:
        body += struct.pack("<HHII", tag, 3, number, value)
    body += bytes(4) + struct.pack("<4H", 16, 16, 16, 16)
    path.write_bytes(body + pixels.astype("<u2").tobytes())


def deep(top: Path, kind: str, suffix: str, channels: int) -> None:
    """Save every image or label map anew, with alpha opaque."""
    for old in sorted((top / kind).iterdir()):
        number = int(old.stem[3:])
        if kind == "images":
            colours = photo(number).astype(np.uint16) * 257
        else:
            colours = np.repeat(label_map(number)[..., None], 3, axis=2).astype(np.uint16)
        alpha = np.full((*colours.shape[:2], 1), 65535, np.uint16)
        pixels = colours[..., : 1 if channels < 3 else 3]
        pixels = pixels if channels % 2 else np.concatenate([pixels, alpha], axis=2)
        old.unlink()
        (png if suffix == ".png" else tiff)(old.with_suffix(suffix), pixels)


# Pillow reads no TIFF of grey with alpha.
FORMS = [(".png", n) for n in (1, 2, 3, 4)] + [(".tif", n) for n in (1, 3, 4)]


@pytest.mark.parametrize(("suffix", "channels"), FORMS)
def test_images_are_refused(suffix: str, channels: int, top: Path, tmp_path: Path) -> None:
    deep(top, "images", suffix, channels)
    said = r"image with more than 8 bits a channel \(convert it\) \(12\)"
    with pytest.raises(DatasetError, match=said):
        make(top, tmp_path / "data")


@pytest.mark.parametrize(("suffix", "channels"), FORMS)
def test_labels_are_refused_in_colour_and_numbers_in_grey(
    suffix: str, channels: int, top: Path, tmp_path: Path
) -> None:
    deep(top, "labels", suffix, channels)
    if channels > 1:
        said = r"label file in colour with more than 8 bits a channel \(convert it\) \(12\)"
        with pytest.raises(DatasetError, match=said):
            make(top, tmp_path / "data")
    else:
        dataset = make(top, tmp_path / "data")
        for name in dataset.image_ids:
            assert np.array_equal(dataset.labels(name), label_map(int(name[3:])))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_that_pillow_spreads_is_refused(bits: int, top: Path, tmp_path: Path) -> None:
    labels = (label_map(2)[..., None] % 255 % 4).astype(np.uint16)
    png(top / "labels/s0_00.png", labels, bits)
    with pytest.raises(DatasetError, match=r"grey label file of 2 or 4 bits.*\n +\S+s0_00\.png"):
        make(top, tmp_path / "data")
