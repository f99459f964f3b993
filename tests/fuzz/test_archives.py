"""Mutated zips and tars: unpacked whole, or refused with nothing left."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given

from datasets_prep.archives.extract import extract
from datasets_prep.errors import DatasetError
from tests.datasets_prep.archives.test_archives import tar_bytes, zip_bytes
from tests.fuzz.mutate import fuzzed, mutated, read_or_refused

FILES = {
    "VOC/JPEGImages/2007_000033.jpg": bytes(range(256)) * 5,
    "VOC/ImageSets/val.txt": b"2007_000033\n",
    "VOC/empty": b"",
}
ZIP, TAR = zip_bytes(FILES), tar_bytes(FILES)


def summed_again(content: bytes) -> bytes:
    """A damaged tar whose headers have right checksums, so that damage comes further."""
    out = bytearray(content)
    for at in range(0, len(out) - 511, 512):
        header = out[at : at + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return bytes(out)


def unpacked_whole_or_not_at_all(parser: str, place: Path, content: bytes) -> None:
    base = place / "inner"
    base.mkdir()
    archive = base / "archive"
    archive.write_bytes(content)

    def read() -> None:
        try:
            extract(archive, base / "out", max_size=1 << 20)
        except DatasetError:
            assert {path.name for path in base.iterdir()} <= {"archive", "out.lock"}
            raise
        found = [path for path in (base / "out").rglob("*")]
        assert not any(path.is_symlink() for path in found)

    try:
        read_or_refused(parser, read, archive, base / "out", ".out.extracting")
        assert [path.name for path in place.iterdir()] == ["inner"]
        assert {path.name for path in base.iterdir()} <= {"archive", "out", "out.lock"}
    finally:
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@fuzzed
@given(content=mutated(ZIP))
def test_zip(place: Path, content: bytes) -> None:
    unpacked_whole_or_not_at_all("zip", place, content)


@fuzzed
@given(content=mutated(TAR) | mutated(TAR).map(summed_again))
def test_tar(place: Path, content: bytes) -> None:
    unpacked_whole_or_not_at_all("tar", place, content)


@fuzzed
@given(
    content=mutated(gzip.compress(TAR, mtime=0))
    | mutated(TAR).map(lambda tar: gzip.compress(summed_again(tar), 1, mtime=0))
)
def test_tar_gz(place: Path, content: bytes) -> None:
    unpacked_whole_or_not_at_all("tar.gz", place, content)


def pax() -> bytes:
    """A tar with extended headers, which are parsed as text."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("é" * 80, "plain"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 3, 1.5
            tar.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


@fuzzed
@given(content=mutated(pax()).map(summed_again))
def test_tar_with_extended_headers(place: Path, content: bytes) -> None:
    unpacked_whole_or_not_at_all("tar, extended headers", place, content)
