"""Images of strangers: whole and of a size that memory can hold, or one error."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_prep.datasets.crossdomain.labelled import read_pixels
from datasets_prep.datasets.pascal.masks import read_voc
from datasets_prep.errors import DatasetError
from datasets_prep.formats import imagefile
from datasets_prep.formats.imagefile import MAX_PIXELS, checked_image, keep_copy, open_image

NOISE = np.random.RandomState(0).randint(0, 256, (40, 60, 3)).astype(np.uint8)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, format=kind)
    return buffer.getvalue()


def vast_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be an image of any size."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_truncated_image_is_an_error_wherever_it_ends(kind: str, tmp_path: Path) -> None:
    whole = encoded(kind)
    path = write(tmp_path / "image", whole)
    assert (checked_image(path).width, checked_image(path).height) == (60, 40)
    # Two bytes end a JPEG, twelve a PNG, and a TIFF ends in its directory.
    for length in {0, 1, 20, *range(100, len(whole) - 20, len(whole) // 9)}:
        write(path, whole[:length])
        with pytest.raises(DatasetError, match=f"{path} is not a readable image"):
            checked_image(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(MAX_PIXELS + 1, 1), (10_000, 10_000), (1 << 30, 1 << 30)])
def test_an_image_of_too_many_pixels_is_never_decoded(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = write(tmp_path / "vast.png", vast_png(*size))
    for read in (checked_image, read_voc, lambda path: read_pixels(path, "L")):
        with pytest.raises(DatasetError, match=r"vast\.png is not a readable .*"):
            read(path)


def test_the_cap_is_on_all_pixels_and_not_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "image.png", encoded("PNG"))
    monkeypatch.setattr(imagefile, "MAX_PIXELS", 60 * 40)
    with open_image(path) as image:
        assert image.size == (60, 40)
    monkeypatch.setattr(imagefile, "MAX_PIXELS", 60 * 40 - 1)
    with pytest.raises(DatasetError, match="it is 60×40, more than 2,399 pixels"):
        checked_image(path)


def test_another_file_of_one_name_is_kept_beside_the_first(tmp_path: Path) -> None:
    kept = tmp_path / "kept/a.jpg"
    for content, name in ((b"one", "a.jpg"), (b"two", "a.3fc4ccfe.jpg"), (b"one", "a.jpg")):
        source, sha256 = write(tmp_path / "a.jpg", content), hashlib.sha256(content).hexdigest()
        assert keep_copy(source, kept, sha256) == kept.with_name(name)
        assert kept.with_name(name).read_bytes() == content
    assert keep_copy(kept, kept, "") == kept


def test_a_copy_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "a.png", b"whole")
    keep_copy(source, tmp_path / "kept/a.png", "")
    assert (tmp_path / "kept/a.png").read_bytes() == b"whole"

    def full(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        keep_copy(source, tmp_path / "kept/b.png", "")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["a.png"]
