"""One image of the union of VOC and SBD: its label map made, its files checked and measured."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from datasets_prep.errors import DatasetError
from datasets_prep.parallel import ordered_map
from datasets_prep.pascal.masks import UNREADABLE, converted
from datasets_prep.pascal.rules import grid_hits
from datasets_prep.progress import Progress
from datasets_prep.records import ImageRecord, Split, areas, labels_sha256

_NAMED = 50


@dataclass(frozen=True)
class Annotated:
    """An image and where its parts are.

    Attributes:
        image_id: as in the lists, `2007_000033`.
        split: "test" for VOC val, "train" for the rest.
        image: the JPEG.
        annotation: VOC's `.png`, or SBD's `.mat` where VOC has none.
        kept_image: where the JPEG is to lie; `image` itself if it lies there.
        kept_labels: where the label map is to lie, as PNG.
    """

    image_id: str
    split: Split
    image: Path
    annotation: Path
    kept_image: Path
    kept_labels: Path


@dataclass(frozen=True)
class Measured:
    """A checked image, without the bytes of its label map, and its classes' `grid_hits`."""

    record: ImageRecord
    hits: Mapping[int, int]


def measure(item: Annotated) -> Measured | str:
    """Make the label map, check the image and measure both; what is wrong, if anything is."""
    try:
        labels = converted(item.annotation, item.kept_labels)
        sha256, width, height = _checked_jpeg(item.image)
    except DatasetError as error:
        return str(error)
    if labels.shape != (height, width):
        return (
            f"{item.image} is {width}×{height}, but {item.annotation} is "
            f"{labels.shape[1]}×{labels.shape[0]}"
        )
    if item.kept_image != item.image:
        _copy(item.image, item.kept_image, sha256)
    record = ImageRecord(
        image_id=item.image_id,
        image=item.kept_image,
        image_sha256=sha256,
        width=width,
        height=height,
        split=item.split,
        label_map=None,
        labels_sha256=labels_sha256(labels),
        areas=areas(labels),
    )
    return Measured(record, grid_hits(labels))


def measure_all(items: Sequence[Annotated], jobs: int, progress: Progress) -> list[Measured]:
    """Measure every image, in order.

    Raises:
        DatasetError: naming every file that is wrong.
    """
    measured, wrong = [], []
    for done, result in enumerate(ordered_map(measure, items, jobs), start=1):
        if isinstance(result, str):
            wrong.append(result)
        else:
            measured.append(result)
        progress.update("label maps", done, len(items))
    if wrong:
        more = [f"and {len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
        raise DatasetError("\n".join(["these files are wrong:", *wrong[:_NAMED], *more]))
    return measured


def with_labels(items: Sequence[Annotated], measured: Sequence[Measured]) -> Iterator[ImageRecord]:
    """The records with their label maps, read one at a time."""
    for item, result in zip(items, measured, strict=True):
        yield replace(result.record, label_map=item.kept_labels.read_bytes())


def _checked_jpeg(path: Path) -> tuple[str, int, int]:
    """sha256, width and height of an image that decodes to its end."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with Image.open(file) as image:
                image.load()
                return sha256, image.width, image.height
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a readable image: {error}") from None


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a file, whole or not at all, unless it is there already."""
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, partial)
    partial.replace(target)
