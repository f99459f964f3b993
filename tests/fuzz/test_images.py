"""Mutated images: photographs, label maps, masks and predictions."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.results.kept_masks import read_mask
from datasets_prep.datasets.crossdomain.labelled import read_pixels
from datasets_prep.datasets.folder.labels import read_labels
from datasets_prep.datasets.folder.layout import Entry, refuse_all
from datasets_prep.datasets.folder.values import Scheme
from datasets_prep.datasets.pascal.masks import read_voc
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import checked_image
from tests.datasets_prep.pascal_fixture import palette_png
from tests.fuzz.mutate import fuzzed, mutated, png_again, read_or_refused

NOISE = np.random.RandomState(0).randint(0, 256, (12, 16, 3)).astype(np.uint8)
LABELS = np.tile(np.array([0, 1, 20, 7], np.uint8), (6, 2))


def encoded(array: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=kind, **options)
    return buffer.getvalue()


PHOTOS = {
    "JPEG": encoded(NOISE, "JPEG"),
    "progressive JPEG": encoded(NOISE, "JPEG", progressive=True),
    "PNG": encoded(NOISE, "PNG"),
    "BMP": encoded(NOISE, "BMP"),
    "TIFF": encoded(NOISE, "TIFF", compression="tiff_lzw"),
    "WEBP": encoded(NOISE, "WEBP"),
}
MASKS = {
    "PNG": encoded(LABELS, "PNG"),
    "palette PNG": palette_png(LABELS),
    "16-bit PNG": encoded(LABELS.astype(np.uint16), "PNG"),
    "BMP": encoded(LABELS, "BMP"),
    "TIFF": encoded(LABELS, "TIFF"),
}


def damaged(files: dict[str, bytes]) -> st.SearchStrategy[bytes]:
    whole = [mutated(content) for content in files.values()]
    again = [mutated(body).map(png_again) for name, body in files.items() if "PNG" in name]
    return st.one_of(*whole, *again)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@fuzzed
@given(content=damaged(PHOTOS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_photographs(place: Path, content: bytes) -> None:
    path = place / "image.jpg"
    path.write_bytes(content)
    read_or_refused("images", lambda: checked_image(path), path)


def folder_labels(path: Path) -> object:
    scheme = Scheme(classes=20, ignore=(255,), background=True)
    reading = read_labels(Entry("a", path, labels=path), scheme, None)
    refuse_all(path, reading.problems)
    return reading.labels


READERS: dict[str, Callable[[Path], object]] = {
    "VOC's label maps": read_voc,
    "a folder's label maps": folder_labels,
    "masks": lambda path: read_pixels(path, "L"),
    "colour masks": lambda path: read_pixels(path, "RGB"),
    "predictions": read_mask,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_masks(reader: str, place: Path) -> None:
    path = place / "mask.png"

    @fuzzed
    @given(content=damaged(MASKS))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        read_or_refused(reader, lambda: READERS[reader](path), path.name)

    check()


def test_what_is_read_is_what_was_written(place: Path) -> None:
    path = place / "labels.png"
    path.write_bytes(png_again(MASKS["palette PNG"]))
    np.testing.assert_array_equal(read_voc(path), LABELS)
    path.write_bytes(MASKS["palette PNG"][:-30])
    with pytest.raises(DatasetError):
        read_voc(path)
