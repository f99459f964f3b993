"""A local HTTP server that misbehaves as it is told, and remembers what it was asked."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        body: the whole file, whatever part of it is asked for.
        status: sent in place of 200 or 206, without a body.
        headers: sent besides or in place of the computed ones.
        cut: bytes of this answer's body after which the line drops.
        etag: entity tag, quotes included.
        ranged: whether Range and If-Range are heeded.
        length: a false Content-Length; -1 for none at all.
    """

    body: bytes = b""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    etag: str | None = None
    ranged: bool = True
    length: int | None = None


@dataclass(frozen=True)
class Request:
    """What a client asked for; headers by lower-case name."""

    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """Answers each path with its replies in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.go = threading.Event()  # while cleared, every answer stops half-way
        self.go.set()

    def serve(self, path: str, *replies: Reply) -> str:
        """Set a path's replies; its address."""
        self.replies[path] = list(replies)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""

    def asked(self, header: str) -> list[str | None]:
        """What the requests so far said under `header`."""
        return [request.headers.get(header) for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.path, headers))
        replies = self.server.replies[self.path]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.status is not None:
            status, body, sent = reply.status, b"", {"Content-Length": "0"}
        else:
            status, body, sent = _ordinary(reply, headers)
        if reply.length is not None:
            sent["Content-Length"] = str(reply.length)
        if reply.length == -1:
            del sent["Content-Length"]
        self.send_response(status)
        for name, value in {**sent, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = body[: reply.cut]
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.go.wait(20)
        self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


def _ordinary(reply: Reply, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an honest server that may ignore Range."""
    total, sent = len(reply.body), {"ETag": reply.etag} if reply.etag else {}
    asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
    fresh = headers.get("if-range") not in (None, reply.etag)
    if not (reply.ranged and asked) or fresh:
        return 200, reply.body, {**sent, "Content-Length": str(total)}
    first = int(asked[1])
    if first >= total:
        return 416, b"", {**sent, "Content-Range": f"bytes */{total}", "Content-Length": "0"}
    sent |= {"Content-Range": f"bytes {first}-{total - 1}/{total}"}
    return 206, reply.body[first:], {**sent, "Content-Length": str(total - first)}


@contextmanager
def running() -> Iterator[Server]:
    """A server in a thread of its own."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()
