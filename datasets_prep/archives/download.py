"""Fetch one large file over unreliable lines: resumed, judged by its hash, published by rename."""

import errno
import os
import re
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import httpx

from datasets_prep.archives.backoff import Backoff, retry_after
from datasets_prep.archives.checksums import Checksum, hash_file, stamp_path, write_stamp
from datasets_prep.archives.members import ARCHIVES, damage
from datasets_prep.archives.partial_file import Part
from datasets_prep.errors import DatasetError
from datasets_prep.runtime.disk import ensure_space, locked
from datasets_prep.runtime.progress import SILENT, Progress

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)


class UnavailableError(DatasetError):
    """No mirror gave the file; the message says for each why not."""


class _RefusedError(Exception):
    """This mirror will not give the file, however often it is asked."""


class _InterruptedError(Exception):
    """This mirror may give the file, or the rest of it, when asked again."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than fetching a small file."""
    return httpx.create_ssl_context()


def _unknown_name(error: BaseException | None) -> bool:
    """Whether a host's name is not known, as offline: waiting does not help."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_NONAME
        error = error.__cause__ or error.__context__
    return False


def mirrors(urls: Sequence[str]) -> list[str]:
    """The addresses to try, in order: where any is https, no plain http one is used."""
    return [url for url in urls if url.startswith("https://")] or list(urls)


def download(
    urls: Sequence[str],
    target: Path,
    expected: Checksum = Checksum(),  # noqa: B008 - frozen
    *,
    extracted_size: int = 0,
    progress: Progress = SILENT,
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
) -> None:
    """Fetch a file to `target`, going on from what an earlier call left, and stamp it.

    A target that already lies there is left alone: nothing is published before its hash holds.

    Args:
        urls: mirrors, best first; see `mirrors`.
        target: the file's final place. Beside it: `.part` and `.part.json` while it is
            incomplete, `.lock`, `.bad` (the last wrong file), `.verified.json` (the stamp).
        expected: size and hashes, as far as they are known.
        extracted_size: bytes that must be free beside the file's own size.
        progress: hears of received bytes.
        backoff: how patiently to try again.

    Raises:
        UnavailableError: no mirror gave the file.
        DatasetError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target, progress):
        if target.exists():
            return
        with _client() as client:
            _Download(client, target, expected, extracted_size, progress).run(urls, backoff)


def _client() -> httpx.Client:
    """A client that goes through the proxies of the environment.

    Raises:
        DatasetError: if one of them needs a package that is not there, or is no proxy.
    """
    try:
        return httpx.Client(
            verify=_tls(),
            follow_redirects=True,
            timeout=_TIMEOUT,
            headers={"Accept-Encoding": "identity", "User-Agent": "fss-bench"},
        )
    except ImportError:
        raise DatasetError(
            "a SOCKS proxy needs a package: pip install socksio, or take the proxy out of "
            "ALL_PROXY and HTTPS_PROXY"
        ) from None
    except ValueError as error:
        raise DatasetError(f"{error}; mend ALL_PROXY, HTTPS_PROXY and HTTP_PROXY") from None


class _Download:
    """One file's download: its `.part`, with url, strong etag and size in a sidecar."""

    def __init__(
        self, client: httpx.Client, target: Path, expected: Checksum, extra: int, progress: Progress
    ) -> None:
        self.client, self.target, self.expected = client, target, expected
        self.extra, self.progress = extra, progress
        self.part = Part(target)
        self.blended: set[str] = set()  # mirrors that once completed a wrong file's beginning

    def run(self, urls: Sequence[str], backoff: Backoff) -> None:
        """Go round the mirrors until one has brought the whole, right file."""
        live, reasons, idle, most = mirrors(urls), dict[str, str](), 0, self.part.have()
        while live and idle < backoff.attempts:
            wait, gained = 0.0, False
            for url in tuple(live):
                try:
                    self.publish(url, blend=self.receive(url))
                    return
                except _RefusedError as error:
                    reasons[url] = str(error)
                    live.remove(url)
                except _InterruptedError as error:
                    reasons[url] = str(error)
                    if error.wait > backoff.patience:
                        live.remove(url)
                    else:
                        wait = max(wait, error.wait)
                self.progress.note(f"{url}: {reasons[url]}")
                if self.part.have() > most:
                    # The mirror that delivers goes first, and its entity tag stays of use.
                    most, gained = self.part.have(), True
                    live.sort(key=lambda other: other != url)
                    break
            idle = 0 if gained else idle + 1
            if live and idle < backoff.attempts:
                backoff.sleep(max(wait, backoff.delay(idle)))
        tried = "".join(f"\n  {url}: {reason}" for url, reason in reasons.items())
        raise UnavailableError(f"{self.target.name} cannot be downloaded:{tried or ' no address'}")

    def receive(self, url: str) -> bool:
        """Bring the `.part` to its full length from one mirror.

        Returns:
            Whether the part began with bytes of an earlier request.
        """
        origin = self.part.origin()
        size = self.expected.size if self.expected.size is not None else origin.get("size")
        have = self.part.have() if origin else 0
        if have and have == size:
            return True
        headers = {"Range": f"bytes={have}-"}
        if origin.get("url") == url and origin.get("etag"):
            headers["If-Range"] = origin["etag"]
        elif not self.expected.pinned:
            have = 0  # nothing would tell whether the two halves belong together
        try:
            with self.client.stream("GET", url, headers=headers if have else {}) as response:
                return self.store(url, response, have, size)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise _RefusedError(f"{type(error).__name__}: {error}") from error
        except httpx.TransportError as error:
            if _unknown_name(error):
                raise _RefusedError(
                    f"the name of its host is not known here (offline?): {error}"
                ) from error
            raise _InterruptedError(f"{type(error).__name__}: {error}") from error
        except OSError as error:
            hint = "the disk is full" if error.errno == errno.ENOSPC else "cannot be written"
            raise DatasetError(
                f"{self.part.path}: {hint} ({error}); what is there is kept"
            ) from error

    def store(self, url: str, response: httpx.Response, have: int, size: int | None) -> bool:
        """Judge an answer by its head and append its body, or begin anew with it."""
        code = response.status_code
        hops = [hop.url for hop in (*response.history, response)]
        if hops[0].scheme == "https" and any(hop.scheme != "https" for hop in hops):
            raise _RefusedError(f"leads from https to {hops[-1]}")
        if code == 416 and have:
            stated = response.headers.get("content-range")
            if stated == f"bytes */{have}" or (stated is None and self.expected.pinned):
                return True  # nothing is missing, if the hash agrees
            self.part.discard()
            raise _InterruptedError(f"cannot go on from byte {have}; starting over")
        if code in _TRY_AGAIN:
            wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            asked = f", asks to wait {wait:.0f} s" if wait else ""
            raise _InterruptedError(f"HTTP {code}{asked}", wait)
        if code not in (200, 206):
            raise _RefusedError(f"HTTP {code}")
        if "html" in response.headers.get("content-type", "") and "htm" not in self.target.suffix:
            raise _RefusedError("answers with a web page")
        if code == 206:
            total = self.fitting(response, url, have, size)
        else:
            have, length = 0, response.headers.get("content-length", "")
            total = int(length) if length.isdecimal() else self.expected.size
        if self.expected.size is not None and total != self.expected.size:
            raise _RefusedError(f"size is {total:,}, expected {self.expected.size:,}")
        ensure_space(self.target.parent, (total or 0) - have + self.extra)
        if not have:
            self.part.begin(url, response, total)
        self.append(response, have, total)
        return have > 0

    def fitting(
        self, response: httpx.Response, url: str, have: int, size: int | None
    ) -> int | None:
        """The file's size by a 206 whose range continues what we have; starts over otherwise."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
        total = size if match is None or match[3] == "*" else int(match[3])
        inside = first == have <= last and (total is None or last < total)
        if self.part.changed(url, response) or not inside or size not in (None, total):
            self.part.discard()
            raise _InterruptedError(f"the part it sends does not fit byte {have}; starting over")
        return total

    def append(self, response: httpx.Response, have: int, total: int | None) -> None:
        """Write a body behind the `have` bytes of the `.part`, never beyond `total`."""
        with self.part.path.open("ab" if have else "wb") as out:
            for chunk in response.iter_raw():
                have += len(chunk)
                if total is not None and have > total:
                    raise _RefusedError(f"sends more than the {total:,} bytes it has")
                out.write(chunk)
                self.progress.update(self.target.name, have, total)
        if total is not None and have < total:
            raise _InterruptedError(f"the line dropped at byte {have:,} of {total:,}")

    def publish(self, url: str, *, blend: bool) -> None:
        """Move a whole `.part` to its final place if its hash holds, else to `.bad`."""
        actual = hash_file(
            self.part.path, md5=self.expected.md5 is not None, progress=self.progress
        )
        unknown = not self.expected.pinned and self.part.origin().get("size") is None
        if unknown and self.target.name.endswith(ARCHIVES) and (torn := damage(self.part.path)):
            self.part.discard()
            raise _InterruptedError(f"it sends an archive that is not whole ({torn})")
        bad = self.target.with_name(f"{self.target.name}.bad")
        if complaint := self.expected.complaint(actual):
            self.part.path.replace(bad)
            self.part.discard()
            reason = f"wrong file, kept as {bad.name}: {complaint}"
            if blend and url not in self.blended:
                self.blended.add(url)
                raise _InterruptedError(f"{reason}; starting over")
            raise _RefusedError(reason)
        with self.part.path.open("rb") as stream:
            os.fsync(stream.fileno())
        self.part.path.replace(self.target)
        write_stamp(self.target, stamp_path(self.target.parent, self.target.name), actual)
        self.part.discard()
        bad.unlink(missing_ok=True)
