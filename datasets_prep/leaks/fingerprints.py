"""What tells whether two images are the same: a hash of their pixels, and how they look.

Looks are the 256 bits of imagehash's perceptual hash: signs of the low frequencies of a grey
64×64 thumbnail. Of 256 bits, a copy at half the size as JPEG differs in 0 to 4, a brighter one in
up to 26, one that lost 2% at each edge in 28 to 40, frames of a video one second apart mostly in
more than 50, and other pictures of the same streets in about 124 (measured on CamVid).
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.parallel import ordered_map
from datasets_prep.runtime.progress import SILENT, Progress

_SIDE = 16
BITS = _SIDE * _SIDE
_BATCH = 32
_BLOCK = 512  # images whose distances to all others are held at once


@dataclass(frozen=True)
class Prints:
    """Fingerprints of images, one of each an image.

    Attributes:
        ids: the images.
        exact: a hash of each; equal hashes mean equal images.
        looks: perceptual hashes as packed bits, images × 32 bytes; None where not asked for.
    """

    ids: tuple[str, ...]
    exact: tuple[str, ...]
    looks: NDArray[np.uint8] | None

    def only(self, ids: Sequence[str]) -> "Prints":
        """The fingerprints of some of the images."""
        place = {image: index for index, image in enumerate(self.ids)}
        rows = [place[image] for image in ids]
        looks = None if self.looks is None else self.looks[rows]
        return Prints(tuple(ids), tuple(self.exact[row] for row in rows), looks)


def stored_prints(dataset: PreparedDataset) -> Prints:
    """Fingerprints by the images' files, as recorded when they were prepared; nothing is read.

    Raises:
        DatasetError: if the dataset was prepared without images.
    """
    if not dataset.has_images:
        raise DatasetError(f"dataset {dataset.name!r} was prepared with --no-images")
    return Prints(dataset.image_ids, dataset.image_sha256s, None)


def decoded_prints(dataset: PreparedDataset, jobs: int, progress: Progress = SILENT) -> Prints:
    """Fingerprints by the images' pixels and looks; decodes every image.

    Raises:
        DatasetError: if imagehash is not installed, or an image cannot be read.
    """
    if importlib.util.find_spec("imagehash") is None:
        raise DatasetError(
            "near duplicates are found with imagehash; install it with: "
            "pip install 'fss-bench[leaks]', or look for equal files alone with --exact"
        )
    ids = dataset.image_ids
    batches = [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]
    make = partial(_batch, dataset.root.parent, dataset.name)
    exact: list[str] = []
    looks: list[bytes] = []
    for batch in ordered_map(make, batches, jobs):
        exact += [pixels for pixels, _ in batch]
        looks += [bits for _, bits in batch]
        progress.update(f"fingerprints of {dataset.name}", len(exact), len(ids))
    bits = np.frombuffer(b"".join(looks), np.uint8).reshape(len(ids), BITS // 8)
    return Prints(ids, tuple(exact), bits)


def nearest(
    seen: NDArray[np.uint8], asked: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each of `asked` the most alike of `seen`, the first of several, and their distance.

    Args:
        seen: packed bits, images × bytes; at least one image.
        asked: likewise.

    Returns:
        Rows of `seen`, and bits that differ.
    """
    known = _signs(seen)
    rows = np.empty(len(asked), np.int64)
    agreement = np.empty(len(asked), np.float32)
    for start in range(0, len(asked), _BLOCK):
        here = slice(start, start + _BLOCK)
        product = _signs(asked[here]) @ known.T
        rows[here] = product.argmax(axis=1)
        agreement[here] = product.max(axis=1)
    return rows, ((known.shape[1] - agreement) / 2).astype(np.int64)


def _signs(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


@cache
def _open(data_root: Path, name: str) -> PreparedDataset:
    return PreparedDataset(data_root, name)


def _batch(data_root: Path, name: str, ids: Sequence[str]) -> list[tuple[str, bytes]]:
    dataset = _open(data_root, name)
    return [_fingerprint(dataset.image(image)) for image in ids]


def _fingerprint(image: Image.Image) -> tuple[str, bytes]:
    import imagehash

    pixels = hashlib.sha256(f"{image.width}x{image.height}".encode() + image.tobytes())
    looks = imagehash.phash(image, hash_size=_SIDE).hash
    return pixels.hexdigest(), np.packbits(looks).tobytes()
