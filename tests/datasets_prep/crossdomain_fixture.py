"""Archives of tiny images, as the cross-domain test sets come, and their preparation."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Builder
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.runtime.progress import SILENT, Progress

Pixels = NDArray[np.uint8]


class Heard(Progress):
    """Remembers every note."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, label: str, done: int, total: int | None) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def noise(seed: int, height: int, width: int) -> Pixels:
    """H×W×3, another one for each seed."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def grey(mask: NDArray[np.bool_]) -> Pixels:
    """A mask as most files have it: 0 and 255."""
    return mask.astype(np.uint8) * 255


def encoded(pixels: Pixels, kind: str) -> bytes:
    """The pixels as a file: "JPEG", "PNG" or "BMP"."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def write_source(path: Path, content: bytes, folder: str | None = None) -> SourceFile:
    """Write a file and describe it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return SourceFile(
        name=path.name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        page=f"https://example.org/{path.name}",
        folder=folder,
    )


def write_zip(path: Path, files: Mapping[str, bytes], folder: str) -> SourceFile:
    """Write a zip of `files`, named as in the archive, and describe it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return write_source(path, buffer.getvalue(), folder)


def run(
    builder: Builder,
    data_root: Path,
    from_dir: Path,
    *,
    jobs: int = 1,
    embed: bool = False,
    progress: Progress = SILENT,
) -> PreparedDataset:
    """Prepare from archives or folders in `from_dir`."""
    options = PrepareOptions(data_root, from_dir, jobs=jobs, embed_images=embed)
    return prepare(builder, options, progress)
