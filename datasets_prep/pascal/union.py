"""Which images VOC and SBD annotate together, and where everything of them lies."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.disk import ensure_space
from datasets_prep.errors import DatasetError
from datasets_prep.pascal.images import Annotated

LABELS = "SegmentationClassAug"

_SETS = ("train", "val", "trainval")
_NAMED = 20


def union(voc: Path, sbd: Path, workspace: Workspace) -> list[Annotated]:
    """Every annotated image once, by id, with VOC's annotation where there is one.

    Raises:
        DatasetError: if lists, annotations or images are missing.
    """
    sets = {name: _ids(voc / "ImageSets" / "Segmentation" / f"{name}.txt") for name in _SETS}
    held_out = frozenset(sets["val"])
    annotations = {path.stem: path for path in (sbd / "cls").glob("*.mat")}
    if not annotations:
        raise DatasetError(f"{sbd / 'cls'} holds no .mat files; is it SBD's dataset folder?")
    annotations |= {
        image: voc / "SegmentationClass" / f"{image}.png" for ids in sets.values() for image in ids
    }
    items = list(_annotated(voc / "JPEGImages", annotations, held_out, workspace))
    missing = [
        str(path) for item in items for path in (item.image, item.annotation) if not path.is_file()
    ]
    if missing:
        more = [f"and {len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
        raise DatasetError("\n".join(["these files are missing:", *missing[:_NAMED], *more]))
    copies = [item.image for item in items if not item.kept_image.exists()]
    ensure_space(workspace.raw, sum(path.stat().st_size for path in copies))
    return items


def _annotated(
    images: Path, annotations: Mapping[str, Path], held_out: frozenset[str], workspace: Workspace
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
            split="test" if image_id in held_out else "train",
            image=images / f"{image_id}.jpg",
            annotation=annotation,
            kept_image=kept_images / f"{image_id}.jpg",
            kept_labels=labels / f"{image_id}.png",
        )


def _ids(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read VOC's list {path}: {error}") from None
