"""One image with label files: both checked, and made a record."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, checked_image, keep_copy, open_image
from datasets_prep.prepared.records import ImageRecord, label_record

FOREGROUND = 128


@dataclass(frozen=True)
class Item:
    """An image of one class and its masks.

    Attributes:
        image_id: unique in the dataset.
        image: the image file.
        kept_image: where it is to lie; `image` itself if it may stay where it is.
        masks: files whose foregrounds are united.
        class_index: class of the foreground.
    """

    image_id: str
    image: Path
    kept_image: Path
    masks: tuple[Path, ...]
    class_index: int = 0


def binary_record(item: Item) -> ImageRecord:
    """Check an image and its masks.

    A grey value of at least 128 is foreground, as in PATNet's loaders.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    image = checked_image(item.image)
    masks = [read_pixels(path, "L") >= FOREGROUND for path in item.masks]
    labels = np.zeros((image.height, image.width), dtype=np.uint8)
    for path, mask in zip(item.masks, masks, strict=True):
        if mask.shape != labels.shape:
            raise DatasetError(
                f"{item.image} is {image.width}×{image.height}, but {path} is "
                f"{mask.shape[1]}×{mask.shape[0]}"
            )
        labels[mask] = item.class_index + 1
    kept = keep_copy(item.image, item.kept_image, image.sha256)
    return label_record(item.image_id, kept, image.sha256, "all", labels)


def read_pixels(path: Path, mode: str) -> NDArray[np.uint8]:
    """Pixels of an image file in Pillow's `mode`: uint8 H×W for "L", H×W×3 for "RGB".

    Raises:
        DatasetError: naming the file, if it is missing or damaged.
    """
    try:
        with open_image(path) as image:
            return np.array(image.convert(mode), dtype=np.uint8)
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a readable image: {error}") from None
