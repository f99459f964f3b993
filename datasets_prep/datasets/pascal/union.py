"""Which images VOC and SBD annotate together, and where everything of them lies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.datasets.pascal.images import Annotated
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault
from datasets_prep.runtime.disk import ensure_space

LABELS = "label-maps"


@dataclass(frozen=True)
class Annotations:
    """Where label maps come from, beside VOC.

    Attributes:
        sbd: SBD's dataset folder.
        ready_made: a folder of ready-made label maps, in the place of SBD and, where VOC's own
            are not at hand, of VOC's.
    """

    sbd: Path | None = None
    ready_made: Path | None = None


def union(voc: Path, others: Annotations) -> dict[str, Path]:
    """The annotation of every image, by id: VOC's where there is one.

    Raises:
        DatasetError: if lists or annotations are missing.
    """
    ready_made = _found(others.ready_made, "*.png")
    own = _own(voc, "train") | _own(voc, "val")
    return {
        **_found(others.sbd and others.sbd / "cls", "*.mat"),
        **ready_made,
        **{i: path for i, path in own.items() if i not in ready_made or path.is_file()},
    }


def held_out(voc: Path, others: Annotations = Annotations()) -> dict[str, Path]:
    """The annotations of VOC val, by id: all that is ever tested on.

    Raises:
        DatasetError: if the list is missing.
    """
    own = _own(voc, "val")
    if others.ready_made is None:
        return own
    ready_made = {image: others.ready_made / f"{image}.png" for image in own}
    return {image: path if path.is_file() else ready_made[image] for image, path in own.items()}


def located(
    voc: Path,
    annotations: Mapping[str, Path],
    workspace: Workspace,
    *,
    images: bool = True,
    partial: bool = False,
) -> list[Annotated]:
    """Every image once, by id, with all of its files.

    Args:
        voc: VOC's folder.
        annotations: of each image, by id.
        workspace: where files are kept, and what judges those that are missing.
        images: whether photographs are wanted at all.
        partial: pass over images whose photograph is not there.

    Raises:
        DatasetError: if annotations or images are missing.
    """
    faults = workspace.faults
    items = list(_annotated(voc, annotations, workspace, images))
    if partial:
        items = [item for item in items if item.image is not None and item.image.is_file()]
        if not items:
            raise DatasetError(f"{voc / 'JPEGImages'} holds no photograph that is annotated")
    missing = [
        Fault(item.image_id, str(path))
        for item in items
        for path in (item.image, item.annotation)
        if path is not None and not path.is_file()
    ]
    faults.settle("these files are missing:", missing, [item.image_id for item in items])
    items = [item for item in items if item.image_id not in faults.left_out]
    copies = [item.image for item in items if item.image and not _kept(item)]
    ensure_space(workspace.raw, sum(path.stat().st_size for path in copies))
    return items


def voc_ids(voc: Path) -> frozenset[str]:
    """The images that VOC annotates itself.

    Raises:
        DatasetError: if a list is missing.
    """
    return frozenset(image for part in ("train", "val") for image in _ids(voc, part))


def _kept(item: Annotated) -> bool:
    return item.kept_image is not None and item.kept_image.exists()


def _annotated(
    voc: Path, annotations: Mapping[str, Path], workspace: Workspace, images: bool
) -> Iterator[Annotated]:
    """The parts of each image, by id; a JPEG outside the dataset's folder is to be copied in."""
    given = voc / "JPEGImages"
    kept = given if given.is_relative_to(workspace.root) else workspace.raw / given.name
    labels = workspace.raw / LABELS
    for folder in (kept, labels) if images else (labels,):
        folder.mkdir(parents=True, exist_ok=True)
    photograph: Callable[[Path, str], Path | None]
    photograph = (lambda folder, image: folder / f"{image}.jpg") if images else lambda *_: None
    test = frozenset(_ids(voc, "val"))
    for image_id, annotation in sorted(annotations.items()):
        yield Annotated(
            image_id=image_id,
            split="test" if image_id in test else "train",
            image=photograph(given, image_id),
            annotation=annotation,
            kept_image=photograph(kept, image_id),
            kept_labels=labels / f"{image_id}.png",
        )


def _found(folder: Path | None, files: str) -> dict[str, Path]:
    found = {} if folder is None else {path.stem: path for path in folder.glob(files)}
    if folder is not None and not found:
        raise DatasetError(f"{folder} holds no {files} files; is it the right folder?")
    return found


def _own(voc: Path, part: str) -> dict[str, Path]:
    folder = voc / "SegmentationClass"
    return {image: folder / f"{image}.png" for image in _ids(voc, part)}


def _ids(voc: Path, name: str) -> list[str]:
    path = voc / "ImageSets" / "Segmentation" / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read VOC's list {path}: {error}") from None
