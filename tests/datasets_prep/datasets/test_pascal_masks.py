from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.io import savemat

from datasets_prep.datasets.pascal.masks import converted, read_sbd, read_voc
from datasets_prep.errors import DatasetError
from tests.datasets_prep.pascal_fixture import palette_png, write_mat

LABELS = np.tile(np.array([0, 1, 20, 7], np.uint8), (6, 2))
WITH_VOID = np.where(LABELS == 7, 255, LABELS).astype(np.uint8)


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    path = tmp_path / "2008_000001.mat"
    write_mat(path, LABELS)
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "2007_000001.png"
    path.write_bytes(palette_png(WITH_VOID))
    return path


def test_palette_indices_are_the_labels(png: Path) -> None:
    assert Image.open(png).mode == "P"
    np.testing.assert_array_equal(read_voc(png), WITH_VOID)


def test_the_segmentation_of_a_mat_is_the_labels(mat: Path) -> None:
    np.testing.assert_array_equal(read_sbd(mat), LABELS)


@pytest.mark.parametrize("at", [0.5, 0.7, 0.95])
def test_a_changed_byte_of_a_mat_is_named(mat: Path, at: float) -> None:
    content = bytearray(mat.read_bytes())
    content[int(at * len(content))] ^= 0x55
    mat.write_bytes(content)
    with pytest.raises(DatasetError, match=r"2008_000001\.mat is not a readable"):
        read_sbd(mat)


def test_the_checksum_of_a_mat_is_compared(mat: Path) -> None:
    # scipy reads on regardless, and on some damage it crashes instead of raising.
    content = bytearray(mat.read_bytes())
    content[-1] ^= 0x55
    mat.write_bytes(content)
    with pytest.raises(DatasetError, match="incorrect data check"):
        read_sbd(mat)


def test_a_torn_or_foreign_mat_is_named(mat: Path) -> None:
    content = mat.read_bytes()
    for wrong in (b"", content[:200], content[:-5], b"MATLAB 7.3 MAT-file" + bytes(600)):
        mat.write_bytes(wrong)
        with pytest.raises(DatasetError, match=r"2008_000001\.mat is not a readable"):
            read_sbd(mat)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"GTinst": {"Segmentation": LABELS}}, "KeyError"),
        ({"GTcls": {"Boundaries": LABELS}}, "Segmentation"),
        ({"GTcls": {"Segmentation": np.zeros((2, 2, 3), np.uint8)}}, r"uint8 \(2, 2, 3\)"),
        ({"GTcls": {"Segmentation": WITH_VOID}}, "labels that no class has: 255"),
        ({"GTcls": {"Segmentation": LABELS.astype(np.uint16) + 256}}, "labels beyond 0..20"),
    ],
)
def test_a_mat_of_other_content_is_named(
    mat: Path, content: dict[str, object], complaint: str
) -> None:
    savemat(mat, content, do_compression=True)
    with pytest.raises(DatasetError, match=rf"2008_000001\.mat.*{complaint}"):
        read_sbd(mat)


def test_a_damaged_or_unfitting_png_is_named(png: Path) -> None:
    content = png.read_bytes()
    png.write_bytes(content[:-40])
    with pytest.raises(DatasetError, match=r"2007_000001\.png is not a readable PNG"):
        read_voc(png)
    Image.new("RGB", (4, 4)).save(png)
    with pytest.raises(DatasetError, match=r"2007_000001\.png has mode RGB"):
        read_voc(png)
    Image.fromarray(np.array([[21, 254]], np.uint8)).save(png)
    with pytest.raises(DatasetError, match="labels that no class has: 21, 254"):
        read_voc(png)


def test_conversion_is_kept_only_while_source_and_pixels_are_the_same(
    mat: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.png"
    np.testing.assert_array_equal(converted(mat, kept), LABELS)
    first, inode = kept.read_bytes(), kept.stat().st_ino
    np.testing.assert_array_equal(converted(mat, kept), LABELS)
    assert kept.stat().st_ino == inode

    info = PngInfo()
    info.add_text("Origin", Image.open(kept).text["Origin"])  # type: ignore[attr-defined]
    other_pixels = tmp_path / "other.png"
    Image.fromarray(LABELS[::-1, ::-1].copy()).save(other_pixels, pnginfo=info)
    for wrong in (b"", first[:-30], palette_png(LABELS), other_pixels.read_bytes()):
        kept.write_bytes(wrong)
        np.testing.assert_array_equal(converted(mat, kept), LABELS)
        assert kept.read_bytes() == first

    write_mat(mat, LABELS[::-1].copy())
    np.testing.assert_array_equal(converted(mat, kept), LABELS[::-1])
    assert [path.name for path in tmp_path.glob(".*")] == []
