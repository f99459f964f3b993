"""The downloader against a server that does everything wrong that servers do."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_prep.backoff import Backoff, retry_after
from datasets_prep.checksums import Checksum
from datasets_prep.download import UnavailableError, download, mirrors
from datasets_prep.errors import DatasetError
from tests.datasets_prep.server import Reply, Server, running

FILE = bytes(range(256)) * 40
OTHER = FILE[::-1]
SHA = hashlib.sha256(FILE).hexdigest()
KNOWN = Checksum(len(FILE), SHA)
TAG, TAG2 = '"one"', '"two"'


class Waits(list[float]):
    """The waits of a `Backoff` that does not wait."""

    def backoff(self, attempts: int = 4) -> Backoff:
        return Backoff(attempts=attempts, sleep=self.append, jitter=lambda low, high: high)


class Tale:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int | None]] = []
        self.notes: list[str] = []

    def update(self, label: str, done: int, total: int | None) -> None:
        self.updates.append((label, done, total))

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    _server.requests.clear()
    return _server


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "data.bin"


def names(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {"data.bin.lock"}


def test_a_file_arrives_whole_and_leaves_only_its_stamp(server, target, waits):
    tale = Tale()
    download([server.serve("/a", Reply(FILE))], target, KNOWN, progress=tale)
    assert target.read_bytes() == FILE
    assert names(target) == {"data.bin", "data.bin.verified.json"}
    assert ("data.bin", len(FILE), len(FILE)) in tale.updates
    assert ("checking data.bin", len(FILE), len(FILE)) in tale.updates
    assert server.asked("accept-encoding") == ["identity"]


def test_a_present_target_asks_nobody(server, target):
    url = server.serve("/a", Reply(FILE))
    download([url], target, KNOWN)
    download([url], target, KNOWN)
    assert len(server.requests) == 1


def test_a_dropped_line_goes_on_at_the_byte_it_dropped(server, target, waits):
    url = server.serve("/a", Reply(FILE, etag=TAG, cut=3000), Reply(FILE, etag=TAG))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert target.read_bytes() == FILE
    assert server.asked("range") == [None, "bytes=3000-"]
    assert server.asked("if-range") == [None, TAG]
    assert len(waits) == 1


def test_a_line_that_drops_more_often_than_attempts_still_arrives(server, target, waits):
    url = server.serve("/a", Reply(FILE, cut=1000))
    download([url], target, KNOWN, backoff=waits.backoff(attempts=2))
    assert target.read_bytes() == FILE
    assert len(server.requests) == -(-len(FILE) // 1000)
    assert max(waits) == 1.0, "each drop brought something, so the wait must not grow"


def test_a_line_that_always_drops_at_one_place_is_given_up(server, target, waits):
    url = server.serve("/a", Reply(FILE, cut=1000, ranged=False))
    with pytest.raises(UnavailableError, match=r"/a: "):
        download([url], target, KNOWN, backoff=waits.backoff(attempts=3))
    assert waits == [1.0, 2.0, 4.0]
    assert not target.exists()


def test_a_server_that_ignores_range_is_started_over(server, target, waits):
    url = server.serve("/a", Reply(FILE, cut=3000, ranged=False), Reply(FILE, ranged=False))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.asked("range") == [None, "bytes=3000-"]
    assert target.read_bytes() == FILE


def test_a_changed_etag_starts_over(server, target, waits):
    url = server.serve("/a", Reply(OTHER, etag=TAG, cut=3000), Reply(FILE, etag=TAG2))
    download([url], target, Checksum(), backoff=waits.backoff())
    assert server.asked("if-range") == [None, TAG]
    assert target.read_bytes() == FILE


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag(server, target, waits):
    torn = Reply(FILE, headers={"ETag": TAG2})  # computes with no tag, so it sends 206
    sneaky = Reply(FILE, etag=TAG, headers={"ETag": TAG2})
    url = server.serve("/a", Reply(OTHER, etag=TAG, cut=3000), sneaky, torn)
    download([url], target, Checksum(), backoff=waits.backoff())
    assert target.read_bytes() == FILE
    assert server.asked("range") == [None, "bytes=3000-", None]


def test_without_hash_and_strong_etag_two_halves_are_never_joined(server, target, waits):
    url = server.serve("/a", Reply(OTHER, etag='W/"x"', cut=3000), Reply(FILE, etag='W/"x"'))
    download([url], target, Checksum(), backoff=waits.backoff())
    assert server.asked("range") == [None, None]
    assert target.read_bytes() == FILE


@pytest.mark.parametrize(
    "content_range",
    ["bytes 2999-10239/10240", "bytes 3000-10239/10241", "bytes 3000-10240/10240", "", "junk"],
)
def test_a_part_that_does_not_fit_starts_over(server, target, waits, content_range):
    misfit = Reply(FILE, headers={"Content-Range": content_range})
    url = server.serve("/a", Reply(FILE, cut=3000), misfit, Reply(FILE))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.asked("range") == [None, "bytes=3000-", None]
    assert target.read_bytes() == FILE


def test_a_shorter_part_than_asked_for_is_welcome(server, target, waits):
    short = Reply(FILE, headers={"Content-Range": "bytes 3000-5999/*"}, length=3000, cut=3000)
    url = server.serve("/a", Reply(FILE, cut=3000), short, Reply(FILE))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.asked("range") == [None, "bytes=3000-", "bytes=6000-"]
    assert target.read_bytes() == FILE


def leave_part(target: Path, url: str, content: bytes, size: int | None) -> None:
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(content)
    sidecar = f'{{"url": "{url}", "etag": null, "size": {size or "null"}}}'
    target.with_name("data.bin.part.json").write_text(sidecar)


def test_a_whole_part_of_unknown_size_is_published_on_416(server, target):
    url = server.serve("/a", Reply(FILE))
    leave_part(target, url, FILE, None)
    download([url], target, Checksum(sha256=SHA))
    assert server.asked("range") == [f"bytes={len(FILE)}-"]
    assert target.read_bytes() == FILE


def test_a_part_that_is_too_long_starts_over_on_416(server, target, waits):
    url = server.serve("/a", Reply(FILE))
    leave_part(target, url, FILE + b"more", None)
    download([url], target, Checksum(sha256=SHA), backoff=waits.backoff())
    assert server.asked("range")[1:] == [None]
    assert target.read_bytes() == FILE


def test_a_whole_part_of_known_size_needs_no_server(target):
    leave_part(target, "http://127.0.0.1:9/a", FILE, None)
    download(["http://127.0.0.1:9/a"], target, KNOWN)
    assert target.read_bytes() == FILE


def test_a_spoilt_part_is_kept_as_bad_and_fetched_anew(server, target, waits):
    url = server.serve("/a", Reply(FILE))
    leave_part(target, url, OTHER[:3000], len(FILE))
    tale = Tale()
    download([url], target, KNOWN, backoff=waits.backoff(), progress=tale)
    assert server.asked("range") == ["bytes=3000-", None]
    assert target.read_bytes() == FILE
    assert "kept as data.bin.bad" in tale.notes[0]
    assert names(target) == {"data.bin", "data.bin.verified.json"}


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


def test_after_a_wrong_mirror_comes_the_next(server, target, waits):
    urls = [
        server.serve("/gone", Reply(status=404)),
        server.serve("/page", Reply(b"<html>", headers={"Content-Type": "text/html"})),
        server.serve("/short", Reply(FILE[:-1])),
        server.serve("/wrong", Reply(OTHER)),
        server.serve("/right", Reply(FILE)),
    ]
    download(urls, target, KNOWN, backoff=waits.backoff())
    assert [request.path for request in server.requests] == [
        "/gone", "/page", "/short", "/wrong", "/right",
    ]  # fmt: skip
    assert not waits
    assert names(target) == {"data.bin", "data.bin.verified.json"}


def test_a_web_page_is_no_file_even_where_no_hash_is_known(server, target, waits):
    page = Reply(b"<html>quota exceeded", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(UnavailableError, match="answers with a web page"):
        download([server.serve("/a", page)], target, backoff=waits.backoff())


def test_a_resume_may_change_mirrors(server, target, waits):
    first = server.serve("/first", Reply(FILE, etag=TAG, cut=3000), Reply(status=503))
    second = server.serve("/second", Reply(status=503), Reply(FILE, etag=TAG2))
    download([first, second], target, KNOWN, backoff=waits.backoff())
    assert target.read_bytes() == FILE
    assert server.requests[-1].path == "/second"
    assert server.requests[-1].headers["range"] == "bytes=3000-"
    assert "if-range" not in server.requests[-1].headers


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


def test_redirects_are_followed_with_the_range(server, target, waits):
    real = server.serve("/real", Reply(FILE, cut=3000), Reply(FILE))
    url = server.serve("/moved", Reply(status=302, headers={"Location": real}))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.requests[-1].headers["range"] == "bytes=3000-"
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


def test_an_undeclared_drop_is_noticed_by_the_known_size(server, target, waits):
    url = server.serve("/a", Reply(FILE, length=-1, cut=3000), Reply(FILE))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.asked("range") == [None, "bytes=3000-"]
    assert target.read_bytes() == FILE


def test_more_bytes_than_the_file_has_are_cut_off(server, target, waits):
    url = server.serve("/a", Reply(FILE + FILE, length=-1))
    with pytest.raises(UnavailableError, match="more than the 10,240 bytes"):
        download([url], target, KNOWN, backoff=waits.backoff())


def test_retry_after_is_heeded_in_both_forms(server, target, waits):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    url = server.serve(
        "/a",
        Reply(status=429, headers={"Retry-After": "7"}),
        Reply(status=503, headers={"Retry-After": soon}),
        Reply(status=503),
        Reply(FILE),
    )
    download([url], target, KNOWN, backoff=waits.backoff(attempts=5))
    assert waits[0] == 7.0
    assert 90 < waits[1] <= 100
    assert waits[2] == 8.0, "doubled with every fruitless round"


def test_a_server_that_asks_for_an_hour_is_left(server, target, waits):
    url = server.serve("/a", Reply(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match="asks to wait 3600 s"):
        download([url], target, KNOWN, backoff=waits.backoff())
    assert not waits


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0), ("12", 12), (" 12 ", 12), ("-5", 0), ("soon", 0), ("", 0),
        ("Fri, 02 Jan 2026 00:00:30 GMT", 30), ("Fri, 02 Jan 2026 00:00:30 -0000", 30),
        ("Fri, 02 Jan 2026 01:00:30 +0100", 30), ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("9" * 400, float("inf")),
    ],
)  # fmt: skip
def test_retry_after_reads_seconds_and_dates(value, seconds):
    assert retry_after(value, datetime(2026, 1, 2, tzinfo=UTC)) == seconds


def test_backoff_doubles_to_its_cap_within_its_jitter():
    delays = [[Backoff().delay(idle) for _ in range(20)] for idle in range(9)]
    for idle, row in enumerate(delays):
        ceiling = min(60, 2**idle)
        assert all(ceiling / 2 <= delay <= ceiling for delay in row)
        assert len(set(row)) > 1
    assert all(max(low) <= 2 * max(high) for low, high in pairwise(delays))


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
from datasets_prep.checksums import Checksum
from datasets_prep.download import download
from datasets_prep.progress import Silent

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
def test_whatever_a_server_does_the_file_is_right_or_absent(_server, replies, expected):
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "data.bin"
        urls = [
            _server.serve("/odd", *replies, Reply(status=503)),
            _server.serve("/even", *replies[::2], Reply(FILE)),
        ]
        try:
            download(urls, target, expected, backoff=Waits().backoff(attempts=8))
        except UnavailableError:
            assert not target.exists()
        else:
            assert target.read_bytes() == FILE
            assert names(target) == {"data.bin", "data.bin.verified.json"}
