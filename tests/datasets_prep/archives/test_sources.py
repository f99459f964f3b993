"""Raw files from the user's disk or from a server, checked, recorded and unpacked."""

import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets_prep.archives import checksums
from datasets_prep.archives.backoff import Backoff
from datasets_prep.archives.sources import SourceFile, contents, hashes, obtain, plan
from datasets_prep.errors import DatasetError
from tests.datasets_prep import downloads
from tests.datasets_prep.server import Reply, Server

PATIENCE = Backoff(attempts=2, sleep=lambda seconds: None)


def packed(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


ARCHIVE = packed("VOCdevkit/VOC2012/val.txt", b"2007_000033\n")
OTHER = packed("VOCdevkit/VOC2012/val.txt", b"2007_000042\n")
SHA = hashlib.sha256(ARCHIVE).hexdigest()
VOC = SourceFile(
    "voc.tar",
    size=len(ARCHIVE),
    sha256=SHA,
    extracted_size=12,
    page="https://host.example/voc",
    note="An account is needed.",
    folder="VOCdevkit/VOC2012",
)
LIST = SourceFile("list.txt", extracted_size=0)


direct, shared_server, server = downloads.direct, downloads.shared_server, downloads.server


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pascal" / "raw"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was read to check it."""
    read: list[str] = []
    original = checksums.hash_file

    def spy(path: Path, **options):
        read.append(path.name)
        return original(path, **options)

    monkeypatch.setattr(checksums, "hash_file", spy)
    return read


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["voc.tar", "VOC2012"])
def test_a_link_to_nothing_is_named_not_passed_over(name, raw, given, server):
    (given / name).symlink_to("nowhere")
    with pytest.raises(DatasetError, match=f"{name} is a link to nothing"):
        obtain([online(server)], raw, given)
    assert not server.requests


def online(server: Server, source: SourceFile = VOC, content: bytes = ARCHIVE) -> SourceFile:
    return replace(source, urls=(server.serve(f"/{source.name}", Reply(content)),))


@pytest.mark.parametrize("place", ["voc.tar", "downloads/voc.tar"])
def test_an_archive_of_the_users_is_used_where_it_lies(raw, given, server, place):
    path = write(given / place, ARCHIVE)
    found = obtain([online(server)], raw, given)
    assert found == {"voc.tar": path}
    assert not server.requests
    folder = contents(VOC, path, raw)
    assert folder == raw / "voc" / "VOCdevkit" / "VOC2012"
    assert (folder / "val.txt").read_bytes() == b"2007_000033\n"
    assert [child for child in given.rglob("*") if child.is_file()] == [path], "only read"
    assert hashes(found, raw) == {"voc.tar": SHA}


@pytest.mark.parametrize(
    "place", ["VOCdevkit/VOC2012", "voc/VOCdevkit/VOC2012", "VOC2012", "old/VOC2012", "."]
)
def test_an_extracted_folder_of_the_users_is_used(raw, tmp_path, place):
    folder = tmp_path / "VOC2012" / place
    write(folder / "val.txt", b"x")
    found = obtain([VOC], raw, tmp_path / "VOC2012")
    assert found["voc.tar"].resolve() == folder.resolve()
    assert contents(VOC, found["voc.tar"], raw) == found["voc.tar"]
    assert hashes(found, raw) == {"voc.tar": None}


def test_an_archive_without_a_folder_of_its_own_is_known_by_its_stem(raw, given):
    flat = SourceFile("fss.tar.gz")
    write(given / "fss" / "a.png", b"x")
    assert obtain([flat], raw, given) == {"fss.tar.gz": given / "fss"}


def test_an_empty_folder_is_no_extracted_one(raw, given):
    (given / "VOCdevkit" / "VOC2012").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"voc\.tar"):
        obtain([VOC], raw, given)


def test_what_is_not_given_is_downloaded_and_kept(raw, given, server):
    source = online(server)
    assert obtain([source], raw, given) == {"voc.tar": raw / "voc.tar"}
    assert obtain([source], raw) == {"voc.tar": raw / "voc.tar"}
    assert len(server.requests) == 1


def test_a_stamp_spares_hashing_until_the_file_or_what_is_known_changes(raw, given, hashed):
    path = write(given / "voc.tar", ARCHIVE)
    obtain([VOC], raw, given)
    obtain([VOC], raw, given)
    assert hashed == ["voc.tar"]
    os.utime(path, ns=(1, 1))
    obtain([VOC], raw, given)
    assert len(hashed) == 2
    obtain([replace(VOC, md5=hashlib.md5(ARCHIVE).hexdigest())], raw, given)  # noqa: S324
    assert len(hashed) == 3, "the stamp had no md5 to compare"


def test_a_stamp_of_a_raw_file_moves_with_it(raw, server, tmp_path, hashed):
    source = online(server)
    obtain([source], raw)
    raw.parent.rename(tmp_path / "moved")
    obtain([source], tmp_path / "moved" / "raw")
    assert hashed == []


def test_a_wrong_file_of_the_users_is_named_and_left_alone(raw, given):
    path = write(given / "voc.tar", OTHER)
    with pytest.raises(DatasetError) as caught:
        obtain([VOC], raw, given)
    message = str(caught.value)
    assert str(path) in message
    assert f"sha256 is {hashlib.sha256(OTHER).hexdigest()}, expected {SHA}" in message
    assert path.read_bytes() == OTHER


def test_a_file_of_the_wrong_size_is_not_even_hashed(raw, given, hashed):
    write(given / "voc.tar", ARCHIVE[:-1])
    with pytest.raises(DatasetError, match=f"size is {len(ARCHIVE) - 1}, expected {len(ARCHIVE)}"):
        obtain([VOC], raw, given)
    assert not hashed


def test_a_raw_file_that_rots_is_set_aside_and_fetched_by_the_next_run(raw, server):
    source = online(server)
    path = obtain([source], raw)["voc.tar"]
    mtime = path.stat().st_mtime_ns
    path.write_bytes(OTHER)
    os.utime(path, ns=(mtime, mtime))
    obtain([source], raw)  # nothing tells
    os.utime(path, ns=(1, 1))
    with pytest.raises(DatasetError, match=r"it is now called voc\.tar\.bad; run the same"):
        obtain([source], raw)
    assert (raw / "voc.tar.bad").read_bytes() == OTHER
    obtain([source], raw)
    assert path.read_bytes() == ARCHIVE
    assert not (raw / "voc.tar.bad").exists()


def test_without_a_public_hash_the_first_file_sets_it(raw, server, given):
    source = online(server, LIST, b"one\n")
    found = obtain([source], raw)
    assert hashes(found, raw) == {"list.txt": hashlib.sha256(b"one\n").hexdigest()}
    (raw / "list.txt").unlink()
    online(server, LIST, b"two\n")
    with pytest.raises(DatasetError, match=hashlib.sha256(b"one\n").hexdigest()) as caught:
        obtain([source], raw, backoff=PATIENCE)
    assert f"if that was wrong, remove {raw / 'list.txt.verified.json'}" in str(caught.value)
    write(given / "list.txt", b"two\n")
    with pytest.raises(DatasetError, match=r"or remove .*list\.txt\.verified\.json"):
        obtain([source], raw, given)
    (raw / "list.txt.verified.json").unlink()
    assert obtain([source], raw, given) == {"list.txt": given / "list.txt"}


def test_one_error_lists_all_that_a_person_must_bring_before_any_download(raw, server):
    other = SourceFile("sbd.tgz", md5="0" * 32, page="https://sbd.example")
    with pytest.raises(DatasetError) as caught:
        obtain([online(server, LIST, b"x"), VOC, other], raw, command="bench prepare pascal")
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        f"  voc.tar ({len(ARCHIVE):,} bytes, sha256 {SHA})",
        "    get it from https://host.example/voc",
        "    An account is needed.",
        f"  sbd.tgz (size unknown, md5 {'0' * 32})",
        "    get it from https://sbd.example",
        "put them, or the folders that they unpack to, into one folder, "
        "then run `bench prepare pascal --from THAT_FOLDER`",
    ]
    assert not server.requests


def test_one_error_lists_every_file_that_no_mirror_gave(raw, server):
    dead = replace(VOC, urls=(server.serve("/a", Reply(status=404)),))
    down = replace(LIST, urls=(server.serve("/b", Reply(status=503)),))
    fine = replace(online(server), name="fine.tar")
    with pytest.raises(DatasetError) as caught:
        obtain([dead, down, fine], raw, backoff=PATIENCE)
    message = str(caught.value)
    for part in ("voc.tar", SHA, "/a: HTTP 404", "list.txt", "/b: HTTP 503", "--from"):
        assert part in message
    assert "fine.tar" not in message
    assert (raw / "fine.tar").exists(), "what can be fetched is fetched"


def test_the_disk_must_hold_all_missing_files_and_their_content(raw, server, monkeypatch):
    sources = [online(server), replace(online(server), name="again.tar")]
    needed = 2 * (len(ARCHIVE) + 12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(DatasetError, match=f"{needed:,} bytes are needed"):
        obtain(sources, raw)
    assert not server.requests
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    obtain(sources, raw)


def test_a_from_folder_that_is_not_there_is_named(raw, tmp_path):
    with pytest.raises(DatasetError, match=r"--from .*nowhere: no such folder"):
        obtain([VOC], raw, tmp_path / "nowhere")


def test_after_unpacking_the_archive_may_be_removed(raw, server):
    source = online(server)
    folder = contents(source, obtain([source], raw)["voc.tar"], raw)
    (raw / "voc.tar").unlink()
    found = obtain([source], raw)
    assert found == {"voc.tar": folder}
    assert hashes(found, raw) == {"voc.tar": SHA}
    assert len(server.requests) == 1
    assert plan([source], raw, None)[0].state == "present"
    newer = replace(source, sha256="0" * 64)
    assert plan([newer], raw, None)[0].state == "fetch", "another archive is wanted"


def test_a_folder_of_the_users_has_no_hash_even_after_an_archive_had(raw, server, given):
    source = online(server)
    obtain([source], raw)
    write(given / "VOC2012" / "val.txt", b"x")
    assert hashes(obtain([source], raw, given), raw) == {"voc.tar": None}


def test_contents_are_unpacked_once_without_hashing_the_archive_again(raw, server, monkeypatch):
    source = online(server)
    path = obtain([source], raw)["voc.tar"]
    monkeypatch.setattr(
        "datasets_prep.archives.extract.hash_file", lambda *_, **__: pytest.fail("hashed")
    )
    folder = contents(source, path, raw)
    assert contents(source, path, raw) == folder


def test_contents_say_when_the_folder_is_not_in_the_archive(raw, server):
    source = online(server, replace(VOC, folder="VOCdevkit/VOC2007"))
    path = obtain([source], raw)["voc.tar"]
    with pytest.raises(DatasetError, match="holds no folder VOCdevkit/VOC2007"):
        contents(source, path, raw)


def test_a_file_that_is_no_archive_is_its_own_content(raw, server):
    source = online(server, LIST, b"x")
    path = obtain([source], raw)["list.txt"]
    assert contents(source, path, raw) == path


def test_a_plan_says_what_would_be_fetched_and_touches_nothing(raw, given, server):
    write(given / "list.txt", b"x")
    manual = replace(VOC, name="sbd.tar")
    rows = plan([LIST, online(server), manual], raw, given)
    assert [(row.name, row.state, row.path) for row in rows] == [
        ("list.txt", "present", given / "list.txt"),
        ("voc.tar", "fetch", None),
        ("sbd.tar", "missing", None),
    ]
    assert [row.fetch_bytes for row in rows] == [0, len(ARCHIVE), len(ARCHIVE)]
    assert [row.disk_bytes for row in rows] == [0, len(ARCHIVE) + 12, len(ARCHIVE) + 12]
    assert not raw.exists()
    assert not server.requests


def test_a_plan_counts_what_a_part_has_already(raw, server):
    write(raw / "voc.tar.part", ARCHIVE[:100])
    row = plan([online(server)], raw, None)[0]
    assert row.fetch_bytes == len(ARCHIVE) - 100
