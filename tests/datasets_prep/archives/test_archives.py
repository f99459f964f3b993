"""Unpacking: good archives whole, bad ones not at all."""

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets_prep.archives import extract as archives
from datasets_prep.archives import members as unpack
from datasets_prep.archives.extract import STAMP, extract, freeze, is_extracted
from datasets_prep.errors import DatasetError

FILES = {
    "VOC/JPEGImages/2007_000033.jpg": bytes(range(256)) * 5,
    "VOC/SegmentationClass/2007_000033.png": b"\x89PNG" + bytes(507),
    "VOC/ImageSets/val.txt": b"2007_000033\n",
    "VOC/empty": b"",
}


def tar_bytes(
    files: dict[str, bytes] = FILES, extra: Callable[[tarfile.TarFile], None] | None = None
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folder = tarfile.TarInfo("./VOC")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if extra:
            extra(tar)
    return out.getvalue()


def tgz_bytes(files: dict[str, bytes] = FILES) -> bytes:
    return gzip.compress(tar_bytes(files), mtime=0)


def zip_bytes(
    files: dict[str, bytes] = FILES, extra: Callable[[zipfile.ZipFile], None] | None = None
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("VOC/", b"")
        for name, content in files.items():
            bundle.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        if extra:
            extra(bundle)
    return out.getvalue()


KINDS = {"a.tar": tar_bytes(), "a.tar.gz": tgz_bytes(), "a.zip": zip_bytes()}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != STAMP
    }


def assert_nothing_left(folder: Path, archive: str) -> None:
    left = {path.name for path in folder.iterdir()} - {archive, "out.lock"}
    assert not left


@pytest.mark.parametrize("name", KINDS)
def test_a_good_archive_comes_out_whole_and_stamped(tmp_path, name):
    archive = write(tmp_path / name, KINDS[name])
    target = extract(archive, tmp_path / "out")
    assert tree(target) == FILES
    stamp = json.loads((target / STAMP).read_text())
    assert stamp["sha256"] == hashlib.sha256(KINDS[name]).hexdigest()
    assert stamp["unpacked_bytes"] == sum(map(len, FILES.values()))
    assert is_extracted(target, stamp["sha256"])


def test_the_kind_is_told_by_content_not_by_name(tmp_path):
    archive = write(tmp_path / "a.zip", KINDS["a.tar.gz"])
    assert tree(extract(archive, tmp_path / "out")) == FILES


def test_a_complete_folder_is_not_unpacked_again(tmp_path):
    archive = write(tmp_path / "a.zip", KINDS["a.zip"])
    target = extract(archive, tmp_path / "out")
    (target / "VOC/empty").unlink()
    extract(archive, target)
    assert "VOC/empty" not in tree(target)


def test_another_archive_replaces_our_own_folder(tmp_path):
    target = tmp_path / "out"
    extract(write(tmp_path / "a.tar", KINDS["a.tar"]), target)
    second = write(tmp_path / "b.tar", tar_bytes({"VOC/new": b"new"}))
    assert tree(extract(second, target)) == {"VOC/new": b"new"}
    assert is_extracted(target, hashlib.sha256(second.read_bytes()).hexdigest())


def test_a_folder_without_stamp_is_neither_done_nor_destroyed(tmp_path):
    archive = write(tmp_path / "a.tar", KINDS["a.tar"])
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match="no complete extraction of a"):
        extract(archive, target)
    assert tree(target) == {"thesis.tex": b"precious"}
    (target / "thesis.tex").unlink()
    assert tree(extract(archive, target)) == FILES


def test_left_overs_of_a_killed_extraction_are_cleared(tmp_path):
    archive = write(tmp_path / "a.tar", KINDS["a.tar"])
    torn = tmp_path / ".out.extracting"
    torn.mkdir()
    (torn / "half").write_bytes(b"half")
    assert tree(extract(archive, tmp_path / "out")) == FILES
    assert not torn.exists()


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: object):
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type = kind
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(bytes(info.size)))

    return add


def zip_entry(name: str, mode: int = 0, flags: int = 0):
    def add(bundle: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("placeholder")
        info.filename = info.orig_filename = name
        info.external_attr = mode << 16
        bundle.writestr(info, b"content")
        info.flag_bits |= flags

    return add


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (entry("soft", tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
        (entry("hard", tarfile.LNKTYPE, linkname="VOC/empty"), "is a link"),
        (entry("pipe", tarfile.FIFOTYPE), "is a device"),
        (entry("char", tarfile.CHRTYPE), "is a device"),
        (entry("block", tarfile.BLKTYPE), "is a device"),
        (entry("sparse", tarfile.GNUTYPE_SPARSE), "is a device"),
        (entry("/abs"), "absolute"),
        (entry("C:/abs"), "absolute"),
        (entry("../up"), "no plain relative path"),
        (entry("VOC/../../up"), "no plain relative path"),
        (entry("VOC/..", tarfile.DIRTYPE), "no plain relative path"),
        (entry("VOC\\..\\up"), "no plain relative path"),
        (entry("."), "no plain relative path"),
        (entry("VOC/empty"), "named twice"),
        (entry("VOC//./empty"), "named twice"),
        (entry("VOC"), "named twice"),
        (entry("VOC/empty/inside"), "named twice"),
        (entry("VOC/EMPTY"), "one name on some"),
        (entry("voc/other"), "one name on some"),
        (entry("VOC/Empty", tarfile.DIRTYPE), "one name on some"),
        (entry(STAMP), "named twice"),
        (entry(".Extracted.json"), "one name on some"),
        (entry("n" * 300), "cannot be written"),
    ],
)
def test_a_tar_with_what_no_dataset_needs_is_refused(tmp_path, extra, words):
    archive = write(tmp_path / "a.tar", tar_bytes(extra=extra))
    with pytest.raises(DatasetError, match=words) as caught:
        extract(archive, tmp_path / "out")
    assert str(archive) in str(caught.value) or words == "cannot be written"
    assert_nothing_left(tmp_path, "a.tar")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (zip_entry("soft", stat.S_IFLNK | 0o777), "is a link"),
        (zip_entry("pipe", stat.S_IFIFO | 0o666), "is a device"),
        (zip_entry("secret", flags=1), "is encrypted; nothing was unpacked"),
        (zip_entry("/abs"), "absolute"),
        (zip_entry("../up"), "no plain relative path"),
        (zip_entry("nul\0.png"), "no plain relative path"),
        (zip_entry("VOC/../../up"), "no plain relative path"),
        (zip_entry("..\\up"), "no plain relative path"),
        (zip_entry("VOC/empty"), "named twice"),
        (zip_entry("voc/Empty"), "one name on some"),
        (zip_entry("caf\u00e9"), None),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_what_no_dataset_needs_is_refused(tmp_path, extra, words):
    archive = write(tmp_path / "a.zip", zip_bytes(extra=extra))
    if words is None:
        assert "caf\u00e9" in tree(extract(archive, tmp_path / "out"))
        return
    with pytest.raises(DatasetError, match=words):
        extract(archive, tmp_path / "out")
    assert_nothing_left(tmp_path, "a.zip")


def test_names_that_differ_only_in_unicode_form_are_refused(tmp_path):
    archive = write(tmp_path / "a.tar", tar_bytes({"caf\u00e9": b"", "cafe\u0301": b""}))
    with pytest.raises(DatasetError, match="one name on some"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("name", KINDS)
def test_size_and_number_are_capped(tmp_path, name):
    archive = write(tmp_path / name, KINDS[name])
    size, names = sum(map(len, FILES.values())), 8  # four files, four folders
    with pytest.raises(DatasetError, match=f"more than the {size - 1:,} bytes"):
        extract(archive, tmp_path / "out", max_size=size - 1)
    with pytest.raises(DatasetError, match="more than the 8 names"):
        extract(archive, tmp_path / "out", max_files=names)
    assert_nothing_left(tmp_path, name)
    extract(archive, tmp_path / "out", max_size=size, max_files=names + 1)


@pytest.mark.parametrize("pack", [tgz_bytes, zip_bytes])
def test_a_bomb_is_stopped_by_its_ratio(tmp_path, pack, monkeypatch):
    archive = write(tmp_path / "bomb", pack({"zeros": bytes(2_000_000)}))
    assert len(tree(extract(archive, tmp_path / "harmless"))) == 1
    monkeypatch.setattr(unpack, "_HARMLESS", 100_000)
    with pytest.raises(DatasetError, match="unpacks to more than"):
        extract(archive, tmp_path / "out")
    extract(archive, tmp_path / "out", max_ratio=2000)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_never_read(tmp_path, kind, monkeypatch):
    """Headers are no files: neither ratio nor size would count what they unpack to."""
    monkeypatch.setattr(unpack, "_LARGEST_HEADER", 1_000_000)
    content = tar_bytes(extra=entry("header", kind, size=2_000_000))
    archive = write(tmp_path / "a.tgz", gzip.compress(content))
    with pytest.raises(DatasetError, match="has a header of 2,000,"):
        extract(archive, tmp_path / "out")
    assert_nothing_left(tmp_path, "a.tgz")


def test_endless_padding_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "_HARMLESS", 100_000)
    archive = write(tmp_path / "a.tgz", gzip.compress(tar_bytes() + bytes(3_000_000)))
    with pytest.raises(DatasetError, match="endless padding"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("name", KINDS)
def test_every_truncation_is_one_error_that_names_the_file(tmp_path, name):
    whole = KINDS[name]
    # A tar ends in padding, of which one block must be left for the end to be seen.
    end = len(whole) if name != "a.tar" else whole.rindex(FILES["VOC/ImageSets/val.txt"]) + 1024
    for length in {*range(0, end, 97), *range(0, end, 512), end - 1} - {len(whole)}:
        archive = write(tmp_path / name, whole[:length])
        with pytest.raises(DatasetError, match="cannot be unpacked") as caught:
            extract(archive, tmp_path / "out")
        assert str(archive) in str(caught.value)
    assert_nothing_left(tmp_path, name)


def test_a_spoilt_header_is_not_taken_for_the_end(tmp_path):
    whole = bytearray(KINDS["a.tar"])
    spot = whole.index(b"VOC/ImageSets")
    whole[spot] ^= 0xFF
    for name, content in (("a.tar", bytes(whole)), ("a.tgz", gzip.compress(bytes(whole)))):
        with pytest.raises(DatasetError, match="the end is not where it should be"):
            extract(write(tmp_path / name, content), tmp_path / "out")


def test_a_flipped_bit_in_gz_or_zip_content_is_found_by_their_checksums(tmp_path):
    for name, made in (("a.tgz", tgz_bytes), ("a.zip", zip_bytes)):
        spoilt = bytearray(made({"noise": os.urandom(5000)}))
        spoilt[2500] ^= 1
        with pytest.raises(DatasetError, match="truncated or damaged"):
            extract(write(tmp_path / name, bytes(spoilt)), tmp_path / "out")


def test_a_checksum_that_fails_inside_a_file_is_no_trouble_of_the_disk(tmp_path):
    whole = tar_bytes({"noise": os.urandom(50_000)})
    first = bytearray(gzip.compress(whole[:30_000]))
    first[-8] ^= 1  # the checksum of the first of two joined streams
    archive = write(tmp_path / "a.tgz", bytes(first) + gzip.compress(whole[30_000:]))
    with pytest.raises(DatasetError, match=r"truncated or damaged.*CRC"):
        extract(archive, tmp_path / "out")


def test_who_waited_takes_what_the_other_has_made(tmp_path, monkeypatch):
    archive = write(tmp_path / "a.tar", KINDS["a.tar"])

    @contextmanager
    def late(target: Path, progress: object) -> Iterator[None]:
        monkeypatch.undo()
        extract(archive, target)
        (target / "VOC/empty").unlink()
        yield

    monkeypatch.setattr(archives, "locked", late)
    assert "VOC/empty" not in tree(extract(archive, tmp_path / "out"))


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no\.tar: no such archive"):
        extract(tmp_path / "no.tar", tmp_path / "out")


def test_two_processes_unpack_once(tmp_path):
    archive = write(tmp_path / "a.tar", tar_bytes({f"{i:04}": b"x" for i in range(400)}))
    code = (
        "import sys; from pathlib import Path; from datasets_prep.archives.extract import extract;"
        "extract(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(archive), str(tmp_path / "out")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert len(tree(tmp_path / "out")) == 400


def test_freeze_takes_write_bits_from_files_only(tmp_path):
    target = extract(write(tmp_path / "a.tar", KINDS["a.tar"]), tmp_path / "out")
    outside = write(tmp_path / "outside", b"")
    (target / "link").symlink_to(outside)
    before = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out", "outside")}
    freeze(tmp_path / "out")
    freeze(target)
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o222
            assert path.stat().st_mode & 0o400
    assert before == {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in before}
    freeze(tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").stat().st_mode & 0o222


def test_freeze_leaves_locks_and_unfinished_downloads_usable(tmp_path):
    for name in ("a.lock", "a.part"):
        write(tmp_path / name, b"")
    freeze(tmp_path)
    assert all(path.stat().st_mode & 0o200 for path in tmp_path.iterdir())


def test_a_frozen_tree_can_still_be_replaced(tmp_path):
    target = tmp_path / "out"
    freeze(extract(write(tmp_path / "a.tar", KINDS["a.tar"]), target))
    second = write(tmp_path / "b.tar", tar_bytes({"new": b"new"}))
    assert tree(extract(second, target)) == {"new": b"new"}
