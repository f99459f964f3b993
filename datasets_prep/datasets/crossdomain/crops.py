"""Crops of DeepGlobe's tiles: which are kept, and their labels.

Source: slei109/PATNet, data/preprocess.py (steps in comments): every tile is cut into 6×6 crops;
a crop is kept if its mask has more than one colour and every colour, unknown too, covers more
than 4.8 % of it. The steps read masks with OpenCV, whose channels are blue, green, red.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.crossdomain.labelled import read_pixels
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.records import ImageRecord, encode_png, label_record
from datasets_prep.runtime.parallel import ordered_results

GRID = 6
LEAST_SHARE = 0.048

# Red, green, blue of the classes in order; unknown, which is black, and any other colour is
# background.
COLOURS = (
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
)

_LABELS = {(red << 16) | (green << 8) | blue: i + 1 for i, (red, green, blue) in enumerate(COLOURS)}

Pixels = NDArray[np.uint8]
Tile = tuple[str, Path, Path]  # number, image, mask


def records(
    tiles: Sequence[Tile], side: int, jobs: int, faults: Faults | None = None
) -> Iterator[ImageRecord]:
    """The kept crops of all tiles, in order, in up to `jobs` processes.

    Args:
        tiles: number, image and mask of each.
        side: of a tile, in pixels.
        jobs: number of processes.
        faults: judges tiles that are wrong, by number.

    Raises:
        DatasetError: at the end, naming every file that is wrong.
    """
    make = partial(tile_records, side=side)
    for crops in ordered_results(make, tiles, jobs, faults, name=lambda tile: tile[0]):
        yield from crops


def tile_records(tile: Tile, side: int) -> list[ImageRecord]:
    """The kept crops of a tile, called TILE_RC by row and column.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    name, image, mask = tile
    pixels, colours = read_pixels(image, "RGB"), read_pixels(mask, "RGB")
    for path, array in ((image, pixels), (mask, colours)):
        if array.shape[:2] != (side, side):
            raise DatasetError(f"{path} is {array.shape[1]}×{array.shape[0]}, not {side}×{side}")
    size = side // GRID
    kept = []
    for row in range(GRID):
        for column in range(GRID):
            here = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
            labels = crop_labels(colours[here])
            if labels is not None:
                kept.append(_record(f"{name}_{row}{column}", pixels[here], labels))
    return kept


def crop_labels(colours: Pixels) -> Pixels | None:
    """Label map of a crop's mask, 0 unknown and i+1 class i; None if the crop is not kept.

    Args:
        colours: uint8 H×W×3, RGB.
    """
    wide = colours.astype(np.uint32)
    codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    labels: Pixels = np.zeros(codes.shape, dtype=np.uint8)
    for code, label in _LABELS.items():
        labels[codes == code] = label
    known = np.bincount(labels.ravel())[1:]
    _, other = np.unique(codes[labels == 0], return_counts=True)
    counts = [*known[known > 0], *other]
    if len(counts) < 2 or min(counts) / codes.size <= LEAST_SHARE:
        return None
    return labels


def _record(image_id: str, pixels: Pixels, labels: Pixels) -> ImageRecord:
    crop = np.ascontiguousarray(pixels)
    # Kept without loss and known by its pixels, so that no encoder changes a digest.
    sha256 = hashlib.sha256(crop.tobytes()).hexdigest()
    return label_record(image_id, encode_png(crop, level=1), sha256, "all", labels)
