"""One image of the union of VOC and SBD: its label map made, its files checked and measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets_prep.datasets.pascal.masks import converted
from datasets_prep.datasets.pascal.rules import grid_hits
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import checked_image, keep_copy
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.records import ImageRecord, Split, areas, labels_sha256
from datasets_prep.runtime.parallel import ordered_results
from datasets_prep.runtime.progress import Progress


@dataclass(frozen=True)
class Annotated:
    """An image and where its parts are.

    Attributes:
        image_id: as in the lists, `2007_000033`.
        split: "test" for VOC val, "train" for the rest.
        image: the JPEG; None where label maps alone are prepared.
        annotation: VOC's `.png`, or SBD's `.mat` or a ready-made `.png` where VOC has none.
        kept_image: where the JPEG is to lie; `image` itself if it lies there.
        kept_labels: where the label map is to lie, as PNG.
    """

    image_id: str
    split: Split
    image: Path | None
    annotation: Path
    kept_image: Path | None
    kept_labels: Path


@dataclass(frozen=True)
class Measured:
    """A checked image, without the bytes of its label map, and its classes' `grid_hits`."""

    record: ImageRecord
    hits: Mapping[int, int]


def measure(item: Annotated) -> Measured:
    """Make the label map, check the image and measure both.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    labels = converted(item.annotation, item.kept_labels)
    image = None if item.image is None else checked_image(item.image)
    if image is not None and labels.shape != (image.height, image.width):
        raise DatasetError(
            f"{item.image} is {image.width}×{image.height}, but {item.annotation} is "
            f"{labels.shape[1]}×{labels.shape[0]}"
        )
    kept = item.kept_image
    if image and item.image and kept:
        kept = keep_copy(item.image, kept, image.sha256)
    record = ImageRecord(
        image_id=item.image_id,
        image=kept,
        image_sha256=image.sha256 if image else "",
        width=labels.shape[1],
        height=labels.shape[0],
        split=item.split,
        label_map=None,
        labels_sha256=labels_sha256(labels),
        areas=areas(labels),
    )
    return Measured(record, grid_hits(labels))


def measure_all(
    items: Sequence[Annotated], jobs: int, progress: Progress, faults: Faults | None = None
) -> list[Measured]:
    """Measure every image, in order.

    Raises:
        DatasetError: naming every file that is wrong; see `ordered_results`.
    """
    measured = []
    for result in ordered_results(measure, items, jobs, faults):
        measured.append(result)
        progress.update("label maps", len(measured), len(items))
    return measured


def with_labels(items: Sequence[Annotated], measured: Sequence[Measured]) -> Iterator[ImageRecord]:
    """The records with their label maps, read one at a time."""
    kept = {item.image_id: item.kept_labels for item in items}
    for result in measured:
        path = kept[result.record.image_id]
        yield replace(result.record, label_map=path.read_bytes())
