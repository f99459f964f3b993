"""Which images VOC and SBD annotate together, and where everything of them lies."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.datasets.pascal.images import Annotated
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault
from datasets_prep.runtime.disk import ensure_space

LABELS = "SegmentationClassAug"

_SETS = ("train", "val", "trainval")


def union(voc: Path, sbd: Path, workspace: Workspace) -> list[Annotated]:
    """Every annotated image once, by id, with VOC's annotation where there is one.

    Raises:
        DatasetError: if lists, annotations or images are missing.
    """
    sets = {name: _ids(voc, name) for name in _SETS}
    annotations = {path.stem: path for path in (sbd / "cls").glob("*.mat")}
    if not annotations:
        raise DatasetError(f"{sbd / 'cls'} holds no .mat files; is it SBD's dataset folder?")
    annotations |= {image: _png(voc, image) for ids in sets.values() for image in ids}
    return _located(voc, annotations, frozenset(sets["val"]), workspace)


def held_out(voc: Path, workspace: Workspace) -> list[Annotated]:
    """The images of VOC val, by id: all that is ever tested on.

    Raises:
        DatasetError: if the list, annotations or images are missing.
    """
    annotations = {image: _png(voc, image) for image in _ids(voc, "val")}
    return _located(voc, annotations, frozenset(annotations), workspace)


def _located(
    voc: Path, annotations: Mapping[str, Path], test: frozenset[str], workspace: Workspace
) -> list[Annotated]:
    faults = workspace.faults
    items = list(_annotated(voc / "JPEGImages", annotations, test, workspace))
    missing = [
        Fault(item.image_id, str(path))
        for item in items
        for path in (item.image, item.annotation)
        if not path.is_file()
    ]
    faults.settle("these files are missing:", missing)
    items = [item for item in items if item.image_id not in faults.left_out]
    copies = [item.image for item in items if not item.kept_image.exists()]
    ensure_space(workspace.raw, sum(path.stat().st_size for path in copies))
    return items


def _annotated(
    images: Path, annotations: Mapping[str, Path], test: frozenset[str], workspace: Workspace
) -> Iterator[Annotated]:
    """The parts of each image, by id; a JPEG outside the dataset's folder is to be copied in."""
    inside = images.is_relative_to(workspace.root)
    kept_images = images if inside else workspace.raw / images.name
    labels = workspace.raw / LABELS
    for folder in (kept_images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for image_id, annotation in sorted(annotations.items()):
        yield Annotated(
            image_id=image_id,
            split="test" if image_id in test else "train",
            image=images / f"{image_id}.jpg",
            annotation=annotation,
            kept_image=kept_images / f"{image_id}.jpg",
            kept_labels=labels / f"{image_id}.png",
        )


def _png(voc: Path, image: str) -> Path:
    return voc / "SegmentationClass" / f"{image}.png"


def _ids(voc: Path, name: str) -> list[str]:
    path = voc / "ImageSets" / "Segmentation" / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read VOC's list {path}: {error}") from None
