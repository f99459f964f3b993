"""No connection is opened by `run`, `leaderboard` and `compare`.

`tests/benchmarks/test_offline.py` runs models whose weights come from the hub, in a process of its
own with an empty cache: with --offline they ask nobody, without it they do.
"""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from tests.tiny import tiny_dataset

RUN = "run -d tiny --shots 1 --device cpu -q --models random,centre-prior"
VERBS = (
    RUN,
    f"{RUN} --offline --fresh",
    "leaderboard --output board",
    "compare random centre-prior",
    "results card random",
)
_watched: list[str] = []
_on = [False]


def _hear(event: str, args: tuple[object, ...]) -> None:
    local = event == "socket.connect" and not isinstance(args[1], tuple)
    names = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
    if _on[0] and event in names and not local:
        _watched.append(f"{event} {args[1:]}")
        raise OSError("no connection may be opened")


@pytest.fixture
def watched() -> Iterator[list[str]]:
    """What the interpreter itself reports; a hook stays for good, so it is told when to listen."""
    if not _watched and not hasattr(sys, "_fss_bench_hears"):
        sys.addaudithook(_hear)
        sys._fss_bench_hears = True  # type: ignore[attr-defined]
    _watched.clear()
    _on[0] = True
    yield _watched
    _on[0] = False


def test_a_connection_would_be_seen(watched: list[str]) -> None:
    with pytest.raises(OSError, match="no connection"):
        socket.create_connection(("127.0.0.1", 9))
    assert watched


def test_no_verb_opens_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: list[str]
) -> None:
    tiny_dataset(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # put back what --offline sets
    for line in VERBS:
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, (line, done.output)
    assert watched == []
