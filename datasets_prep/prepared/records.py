"""One image of a prepared dataset, and the columns in which the images are stored."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import datasets

IGNORE = 255
Split = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class ImageRecord:
    """One image with its labels, ready to be stored.

    Attributes:
        image_id: unique within the dataset.
        image: the file, or its encoded bytes where there is no file to keep; None where labels
            alone are prepared.
        image_sha256: of the file's bytes; of the pixels where the image is generated; empty
            without image.
        width: in pixels.
        height: in pixels.
        split: the part of the dataset that it belongs to.
        label_map: single-channel PNG (0 background, i+1 class i, 255 ignore), or None with `masks`.
        labels_sha256: of the labels themselves, so that no PNG encoder changes a digest.
        areas: pixels of every class that the labels hold.
        masks: (class, compressed COCO RLE) where classes overlap, else None.
    """

    image_id: str
    image: Path | bytes | None
    image_sha256: str
    width: int
    height: int
    split: Split
    label_map: bytes | None
    labels_sha256: str
    areas: Mapping[int, int]
    masks: tuple[tuple[int, bytes], ...] | None = None

    @property
    def identity(self) -> str:
        """The line of this image in the dataset's digest."""
        return "\t".join(
            (self.image_id, self.split, f"{self.width}x{self.height}", self.image_sha256,
             self.labels_sha256)
        )  # fmt: skip

    @property
    def labels_identity(self) -> str:
        """The line of this image in the digest over labels and lists."""
        return "\t".join(
            (self.image_id, self.split, f"{self.width}x{self.height}", self.labels_sha256)
        )


def label_record(
    image_id: str,
    image: Path | bytes | None,
    image_sha256: str,
    split: Split,
    labels: NDArray[np.uint8],
) -> ImageRecord:
    """A record from a label array: uint8 H×W, 0 background, i+1 class i, 255 ignore."""
    return ImageRecord(
        image_id=image_id,
        image=image,
        image_sha256=image_sha256,
        width=labels.shape[1],
        height=labels.shape[0],
        split=split,
        label_map=encode_png(labels),
        labels_sha256=labels_sha256(labels),
        areas=areas(labels),
    )


def mask_record(
    image_id: str,
    image: Path | bytes,
    image_sha256: str,
    split: Split,
    masks: Mapping[int, NDArray[np.bool_]],
) -> ImageRecord:
    """A record from a mask per class, bool H×W of one size; at least one, and they may overlap."""
    from pycocotools import mask as coco

    height, width = next(iter(masks.values())).shape
    found = {
        index: (
            coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"],
            int(np.count_nonzero(mask)),
        )
        for index, mask in sorted(masks.items())
        if mask.any()
    }
    return rle_record(image_id, image, image_sha256, split, (height, width), found)


def rle_record(
    image_id: str,
    image: Path | bytes | None,
    image_sha256: str,
    split: Split,
    size: tuple[int, int],
    found: Mapping[int, tuple[bytes, int]],
) -> ImageRecord:
    """A record from a compressed RLE and its pixels for each class, and the image's (H, W)."""
    masks = tuple((index, counts) for index, (counts, _) in found.items())
    return ImageRecord(
        image_id=image_id,
        image=image,
        image_sha256=image_sha256,
        width=size[1],
        height=size[0],
        split=split,
        label_map=None,
        labels_sha256=masks_sha256(masks),
        areas={index: pixels for index, (_, pixels) in found.items()},
        masks=masks,
    )


def masks_sha256(masks: Iterable[tuple[int, bytes]]) -> str:
    """sha256 of (class, compressed RLE) pairs in order."""
    return hashlib.sha256(b"".join(b"%d\t%s\n" % mask for mask in masks)).hexdigest()


def labels_sha256(labels: NDArray[np.uint8]) -> str:
    """sha256 of a label array's bytes in row order."""
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()


def areas(labels: NDArray[np.uint8]) -> dict[int, int]:
    """Pixels of every class that a label array holds."""
    counts = Image.fromarray(labels).histogram()
    return {value - 1: counts[value] for value in range(1, IGNORE) if counts[value]}


def encode_png(array: NDArray[np.uint8], level: int = 6) -> bytes:
    """A uint8 H×W or H×W×3 array as PNG, packed with zlib's `level` (1 fast .. 9 small)."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def columns(*, embedded: bool) -> "datasets.Features":
    """The columns of the image table; images are paths or, `embedded`, bytes."""
    import datasets

    return datasets.Features(
        {
            "image_id": datasets.Value("string"),
            "image": datasets.Image() if embedded else datasets.Value("string"),
            "image_sha256": datasets.Value("string"),
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
            "split": datasets.Value("string"),
            "label_map": datasets.Image(),
            "labels_sha256": datasets.Value("string"),
            "masks": datasets.List(
                {"class": datasets.Value("int32"), "counts": datasets.Value("binary")}
            ),
        }
    )


def row(record: ImageRecord, root: Path, *, embed: bool) -> dict[str, object]:
    """The record as a row of the table, image paths relative to the dataset's `root`."""
    image: object
    if record.image is None:
        image = None
    elif isinstance(record.image, bytes):
        image = {"bytes": record.image, "path": None}
    elif embed:
        image = {"bytes": record.image.read_bytes(), "path": None}
    else:
        image = record.image.relative_to(root).as_posix()
    return {
        "image_id": record.image_id,
        "image": image,
        "image_sha256": record.image_sha256,
        "width": record.width,
        "height": record.height,
        "split": record.split,
        "label_map": record.label_map and {"bytes": record.label_map, "path": None},
        "labels_sha256": record.labels_sha256,
        "masks": [{"class": c, "counts": counts} for c, counts in record.masks or ()],
    }
