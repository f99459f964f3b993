"""What the downloader refuses, and what a full disk, Ctrl-C, a kill or a second process leave."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_prep.archives.checksums import Checksum
from datasets_prep.archives.download import UnavailableError, download, mirrors
from datasets_prep.errors import DatasetError
from tests.datasets_prep import downloads
from tests.datasets_prep.archives.test_archives import KINDS
from tests.datasets_prep.downloads import FILE, KNOWN, OTHER, SHA, TAG, TAG2, Tale, Waits, names
from tests.datasets_prep.server import Reply

direct, shared_server, server = downloads.direct, downloads.shared_server, downloads.server
waits, target = downloads.waits, downloads.target


def test_a_line_that_always_drops_at_one_place_is_given_up(server, target, waits):
    url = server.serve("/a", Reply(FILE, cut=1000, ranged=False))
    with pytest.raises(UnavailableError, match=r"/a: "):
        download([url], target, KNOWN, backoff=waits.backoff(attempts=3))
    assert waits == [1.0, 2.0, 4.0]
    assert not target.exists()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_wrong_file_is_kept_once_and_both_hashes_are_named(server, target, waits, resumed):
    url = server.serve("/a", *[Reply(OTHER, cut=3000)] * resumed, Reply(OTHER))
    with pytest.raises(UnavailableError) as caught:
        download([url], target, KNOWN, backoff=waits.backoff())
    assert SHA in str(caught.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert names(target) == {"data.bin.bad"}
    assert target.with_name("data.bin.bad").read_bytes() == OTHER


def test_an_md5_alone_judges_too(server, target, waits):
    right = Checksum(md5=hashlib.md5(FILE).hexdigest())  # noqa: S324
    with pytest.raises(UnavailableError, match=f"md5 is .*expected {right.md5}"):
        download([server.serve("/a", Reply(OTHER))], target, right, backoff=waits.backoff())
    download([server.serve("/a", Reply(FILE))], target, right, backoff=waits.backoff())
    assert target.read_bytes() == FILE


def test_a_web_page_is_no_file_even_where_no_hash_is_known(server, target, waits):
    page = Reply(b"<html>quota exceeded", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(UnavailableError, match="answers with a web page"):
        download([server.serve("/a", page)], target, backoff=waits.backoff())


@pytest.mark.parametrize(("code", "rounds"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3)])
def test_a_name_that_nobody_knows_is_not_asked_for_again(target, waits, monkeypatch, code, rounds):
    def resolve(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(code, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(UnavailableError, match="no answer"):
        download(["https://elsewhere.test/a"], target, backoff=waits.backoff(attempts=3))
    assert len(waits) == rounds - 1


def test_https_never_falls_to_http(server, target, waits):
    plain = server.serve("/a", Reply(FILE))
    with pytest.raises(UnavailableError):
        download(["https://127.0.0.1:9/a", plain], target, KNOWN, backoff=waits.backoff())
    assert not server.requests
    assert mirrors(["http://a", "https://b", "https://c"]) == ["https://b", "https://c"]
    assert mirrors(["http://a", "http://b"]) == ["http://a", "http://b"]


def test_a_redirect_never_leads_from_https_to_http(target, waits, monkeypatch):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://plain/a"})
        return httpx.Response(200, content=iter([FILE]))

    client = partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "Client", client)
    with pytest.raises(UnavailableError, match="leads from https to http://plain/a"):
        download(["https://safe/a"], target, KNOWN, backoff=waits.backoff())
    download(["http://plain/a"], target, KNOWN, backoff=waits.backoff())
    assert target.read_bytes() == FILE


@pytest.mark.parametrize("location", ["/moved", "ftp://x/y"])
def test_redirects_to_nowhere_are_refused(server, target, waits, location):
    url = server.serve("/moved", Reply(status=302, headers={"Location": location}))
    with pytest.raises(UnavailableError, match="/moved"):
        download([url], target, KNOWN, backoff=waits.backoff())


@pytest.mark.parametrize("length", [-1, len(FILE) + 100, len(FILE) - 100])
@pytest.mark.parametrize("expected", [KNOWN, Checksum(sha256=SHA)])
def test_a_lie_about_the_length_never_publishes_a_wrong_file(
    server, target, waits, length, expected
):
    url = server.serve("/a", Reply(FILE, length=length), Reply(FILE))
    try:
        download([url], target, expected, backoff=waits.backoff())
    except UnavailableError:
        assert not target.exists()
    else:
        assert target.read_bytes() == FILE


@pytest.mark.parametrize("name", KINDS)
def test_half_an_archive_of_unknown_length_is_never_published(server, target, waits, name):
    content, target = KINDS[name], target.with_name(name)
    half = Reply(content[: len(content) // 2], length=-1)
    url = server.serve("/a", half, Reply(content, length=-1))
    download([url], target, backoff=waits.backoff())
    assert target.read_bytes() == content and len(server.requests) == 2
    second = target.with_name(f"b{name}")
    with pytest.raises(UnavailableError, match="it sends an archive that is not whole"):
        download([server.serve("/b", half)], second, backoff=waits.backoff())
    assert not second.exists()


def test_more_bytes_than_the_file_has_are_cut_off(server, target, waits):
    url = server.serve("/a", Reply(FILE + FILE, length=-1))
    with pytest.raises(UnavailableError, match="more than the 10,240 bytes"):
        download([url], target, KNOWN, backoff=waits.backoff())


def test_a_server_that_asks_for_an_hour_is_left(server, target, waits):
    url = server.serve("/a", Reply(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match="asks to wait 3600 s"):
        download([url], target, KNOWN, backoff=waits.backoff())
    assert not waits


def test_a_small_disk_is_noticed_before_the_first_byte(server, target, waits, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(FILE) + 99))
    url = server.serve("/a", Reply(FILE))
    with pytest.raises(DatasetError, match=r"10,340 bytes are needed in .*10,339 free"):
        download([url], target, KNOWN, extracted_size=100, backoff=waits.backoff())
    assert not target.with_name("data.bin.part").exists()
    download([url], target, KNOWN, extracted_size=99, backoff=waits.backoff())
    assert target.exists()


def test_a_full_disk_stops_at_once_and_keeps_the_part(server, target, waits):
    class Full(Tale):
        def update(self, label: str, done: int, total: int | None) -> None:
            raise OSError(28, "No space left on device")

    url = server.serve("/a", Reply(FILE, etag=TAG))
    with pytest.raises(DatasetError, match="the disk is full"):
        download([url], target, KNOWN, progress=Full(), backoff=waits.backoff())
    assert len(server.requests) == 1
    assert target.with_name("data.bin.part").stat().st_size > 0


def test_ctrl_c_leaves_a_part_that_goes_on(server, target, waits):
    class Stop(Tale):
        def update(self, label: str, done: int, total: int | None) -> None:
            raise KeyboardInterrupt

    url = server.serve("/a", Reply(FILE, etag=TAG, cut=3000), Reply(FILE, etag=TAG))
    with pytest.raises(KeyboardInterrupt):
        download([url], target, KNOWN, progress=Stop())
    assert names(target) == {"data.bin.part", "data.bin.part.json"}
    have = target.with_name("data.bin.part").stat().st_size
    download([url], target, KNOWN)
    assert server.asked("range") == [None, f"bytes={have}-"]
    assert target.read_bytes() == FILE


CHILD = """
import sys
from pathlib import Path
from datasets_prep.archives.checksums import Checksum
from datasets_prep.archives.download import download
from datasets_prep.runtime.progress import Silent

class Aloud(Silent):
    def note(self, message):
        print(message, flush=True)

url, target, sha256 = sys.argv[1:]
download([url], Path(target), Checksum(sha256=sha256), progress=Aloud())
"""


def child(url: str, target: Path, sha256: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(target), sha256], stdout=subprocess.PIPE, text=True
    )


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_killed_process_leaves_a_part_that_another_goes_on_with(server, target):
    big = os.urandom(300_000)
    sha = hashlib.sha256(big).hexdigest()
    url = server.serve("/big", Reply(big, etag=TAG))
    part = target.with_name("data.bin.part")
    server.go.clear()
    with child(url, target, sha) as process:
        until(lambda: part.exists() and part.stat().st_size > 100_000)
        process.kill()
    server.go.set()
    have = part.stat().st_size
    download([url], target, Checksum(sha256=sha))
    assert server.asked("range") == [None, f"bytes={have}-"]
    assert target.read_bytes() == big


def test_two_processes_fetch_one_file_once(server, target):
    url = server.serve("/a", Reply(FILE))
    server.go.clear()
    with child(url, target, SHA) as first:
        until(lambda: server.requests)
        with child(url, target, SHA) as second:
            assert "another process is making data.bin" in second.stdout.readline()
            server.go.set()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(server.requests) == 1
    assert target.read_bytes() == FILE


misbehaviour = st.builds(
    Reply,
    body=st.sampled_from([FILE, FILE, FILE, OTHER, FILE[:-7]]),
    status=st.sampled_from([None, None, None, None, 416, 429, 503, 404, 206]),
    headers=st.sampled_from([{}, {}, {"Content-Range": "bytes 5-9/10"}, {"ETag": TAG2}]),
    cut=st.none() | st.integers(0, len(FILE)),
    etag=st.sampled_from([None, TAG, TAG2, 'W/"weak"']),
    ranged=st.booleans(),
    length=st.sampled_from([None, None, -1, 17, len(FILE) + 5]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(misbehaviour, max_size=6), st.sampled_from([KNOWN, Checksum(sha256=SHA)]))
def test_whatever_a_server_does_the_file_is_right_or_absent(shared_server, replies, expected):
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "data.bin"
        urls = [
            shared_server.serve("/odd", *replies, Reply(status=503)),
            shared_server.serve("/even", *replies[::2], Reply(FILE)),
        ]
        try:
            download(urls, target, expected, backoff=Waits().backoff(attempts=8))
        except UnavailableError:
            assert not target.exists()
        else:
            assert target.read_bytes() == FILE
            assert names(target) == {"data.bin", "data.bin.verified.json"}
