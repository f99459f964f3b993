"""A file arrives whole, in one piece or in many, from servers that drop, differ or ask to wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest

from datasets_prep.archives.backoff import Backoff, retry_after
from datasets_prep.archives.checksums import Checksum
from datasets_prep.archives.download import download
from tests.datasets_prep import downloads
from tests.datasets_prep.downloads import FILE, KNOWN, OTHER, SHA, TAG, TAG2, Tale, names
from tests.datasets_prep.server import Reply

direct, shared_server, server = downloads.direct, downloads.shared_server, downloads.server
waits, target = downloads.waits, downloads.target


def leave_part(target: Path, url: str, content: bytes, size: int | None) -> None:
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(content)
    sidecar = f'{{"url": "{url}", "etag": null, "size": {size or "null"}}}'
    target.with_name("data.bin.part.json").write_text(sidecar)


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


def test_a_resume_may_change_mirrors(server, target, waits):
    first = server.serve("/first", Reply(FILE, etag=TAG, cut=3000), Reply(status=503))
    second = server.serve("/second", Reply(status=503), Reply(FILE, etag=TAG2))
    download([first, second], target, KNOWN, backoff=waits.backoff())
    assert target.read_bytes() == FILE
    assert server.requests[-1].path == "/second"
    assert server.requests[-1].headers["range"] == "bytes=3000-"
    assert "if-range" not in server.requests[-1].headers


def test_redirects_are_followed_with_the_range(server, target, waits):
    real = server.serve("/real", Reply(FILE, cut=3000), Reply(FILE))
    url = server.serve("/moved", Reply(status=302, headers={"Location": real}))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.requests[-1].headers["range"] == "bytes=3000-"
    assert target.read_bytes() == FILE


def test_an_undeclared_drop_is_noticed_by_the_known_size(server, target, waits):
    url = server.serve("/a", Reply(FILE, length=-1, cut=3000), Reply(FILE))
    download([url], target, KNOWN, backoff=waits.backoff())
    assert server.asked("range") == [None, "bytes=3000-"]
    assert target.read_bytes() == FILE


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
