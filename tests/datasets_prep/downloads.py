"""What tests of the downloader share: a file, its server, and waits that take no time."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets_prep.archives.backoff import Backoff
from datasets_prep.archives.checksums import Checksum
from tests.datasets_prep.server import Server, running

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
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    shared_server.requests.clear()
    return shared_server


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "data.bin"


def names(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {"data.bin.lock"}
