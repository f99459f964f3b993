"""SUIM's masks, in which a class is a colour of three bits, and the record of an image."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.datasets.crossdomain.labelled import FOREGROUND, read_pixels
from datasets_prep.formats.imagefile import UNREADABLE, checked_image, keep_copy, open_image
from datasets_prep.prepared.records import ImageRecord, label_record

# The names of the published folders, in their order: fish and vertebrates, human divers, plants,
# reefs and invertebrates, robots, sea floor and rocks, wrecks.
CLASSES = ("FV", "HD", "PF", "RI", "RO", "SR", "WR")

# Red, green and blue as bits of 4, 2 and 1.
_BITS = (None, "HD", "PF", "WR", "RO", "RI", "FV", "SR")
_LABELS = np.array([0 if c is None else CLASSES.index(c) + 1 for c in _BITS], dtype=np.uint8)


@dataclass(frozen=True)
class Item:
    """An image and its mask.

    Attributes:
        image_id: the file's name without its ending.
        image: the JPEG.
        kept_image: where it is to lie; `image` itself if it may stay where it is.
        mask: the BMP.
    """

    image_id: str
    image: Path
    kept_image: Path
    mask: Path


def make_record(item: Item) -> ImageRecord:
    """Check an image and read its mask, which is scaled by nearest neighbour if need be.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    image = checked_image(item.image)
    labels = from_colours(read_pixels(item.mask, "RGB"))
    if labels.shape != (image.height, image.width):
        size = (image.width, image.height)
        labels = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    kept = keep_copy(item.image, item.kept_image, image.sha256)
    return label_record(item.image_id, kept, image.sha256, "all", labels)


def from_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label map of a mask in RGB: 0 water, i+1 class i.

    Source: xahidbuffon/SUIM, utils/data_utils.py: a channel above half its range is a set bit,
    so that colours that some masks have slightly wrong find their class.

    Args:
        pixels: uint8 H×W×3.
    """
    red, green, blue = np.moveaxis((pixels >= FOREGROUND).astype(np.uint8), 2, 0)
    labels: NDArray[np.uint8] = _LABELS[4 * red + 2 * green + blue]
    return labels


def other_sizes(items: Iterable[Item]) -> list[str]:
    """Ids of the images whose masks have another size, from the files' headers alone."""
    return [item.image_id for item in items if _size(item.image) != _size(item.mask)]


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with open_image(path) as image:
            return image.size
    except UNREADABLE:
        return None  # said with all other wrong files, when it is read
