"""A file that is still being fetched: its bytes so far, and where the first of them came from."""

import json
from pathlib import Path
from typing import Any

import httpx

from datasets_prep.archives.checksums import write_json


class Part:
    """`NAME.part` with url, strong entity tag and full size in `NAME.part.json`."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._sidecar = target.with_name(f"{target.name}.part.json")

    def have(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> dict[str, Any]:
        """`url`, `etag` and `size` of the answer that began it; empty if that is not known."""
        try:
            origin = json.loads(self._sidecar.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return origin if isinstance(origin, dict) else {}

    def begin(self, url: str, response: httpx.Response, size: int | None) -> None:
        """Start over with an answer."""
        self.discard()
        etag = response.headers.get("etag", "")
        strong = etag if etag.startswith('"') else None
        write_json(self._sidecar, {"url": url, "etag": strong, "size": size})

    def changed(self, url: str, response: httpx.Response) -> bool:
        """Whether an answer's entity tag tells that the file has changed on its server."""
        origin, etag = self.origin(), response.headers.get("etag")
        known = origin.get("etag") if origin.get("url") == url else None
        return None not in (etag, known) and etag != known

    def discard(self) -> None:
        """Forget it all."""
        self.path.unlink(missing_ok=True)
        self._sidecar.unlink(missing_ok=True)
