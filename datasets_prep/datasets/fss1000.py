"""FSS-1000: a thousand classes of ten images each, of which 240 are tested in one fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets_prep.archives.hosts import on_drive, split_list
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.formats.imagefile import checked_with_mask, open_image
from datasets_prep.formats.splitfiles import FSS_FIRST_CLASS, FSS_IMAGES, fss_names, read_fss
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.prepared.records import ImageRecord, Split, mask_record
from datasets_prep.runtime.parallel import ordered_results

FOREGROUND = 128  # least grey level of the object in a mask (HSNet, data/fss.py)

_PARTS: Mapping[str, Split] = {"trn": "train", "val": "val", "test": "test"}
_LIST_SHA256 = {
    "trn": "815bce03f2502719ba3bd9c1f79111b74ec8ab63e6111830ff7312de49b1cf17",
    "val": "9cac02c58602f2789b4e6393200e450e3ba1edae6673d6a87ae2063d0c547aee",
    "test": "26f1b9e9dd0c4a58c01db306aeb5bccb5de361d544ec1b15f219efc4b74c0bf1",
}


@dataclass(frozen=True)
class Release:
    """The archive of images and masks, and HSNet's lists of classes by `trn`, `val` and `test`."""

    archive: SourceFile
    lists: Mapping[str, SourceFile]


FSS1000_RELEASE = Release(
    archive=on_drive(
        "fewshot_data.zip",
        "16TgqOeI_0P41Eh3jWQlxlRXG9KIqtMgI",
        extracted_size=1_000_000_000,
        note="no hash is published; it unpacks to fewshot_data/fewshot_data/CLASS/1.jpg .. 10.png, "
        "and any folder fewshot_data of such folders serves as well",
        folder="fewshot_data/fewshot_data",
    ),
    lists={part: split_list(f"fss/{part}.txt", sha256) for part, sha256 in _LIST_SHA256.items()},
)  # fmt: skip


@dataclass(frozen=True)
class _Item:
    """One image: where it and its mask are, and where it is to lie."""

    image_id: str
    class_index: int
    split: Split
    image: Path
    mask: Path
    kept_image: Path


class FSS1000(BaseBuilder[BuilderOptions, Release]):
    """FSS-1000 with HSNet's class indices: 0..519 train, 520..759 val, 760..999 test."""

    name: ClassVar[str] = "fss1000"
    summary: ClassVar[str] = "FSS-1000: 1000 classes of ten images, 240 tested in one fold"
    official: ClassVar[Release] = FSS1000_RELEASE

    def sources(self) -> Sequence[SourceFile]:
        """The archive and the three class lists."""
        return (self.release.archive, *self.release.lists.values())

    def disk_needed(self) -> int:
        """The image table, about."""
        return 50_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check every image and mask; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        folder = kept = workspace.unpacked(self.release.archive)
        if not (workspace.embed_images or folder.is_relative_to(workspace.root)):
            kept = workspace.raw / "images"
        lists = {part: workspace.sources[file.name] for part, file in self.release.lists.items()}
        names = {part: fss_names(file) for part, file in lists.items()}
        items = [
            _Item(
                image_id=f"{name}/{number}",
                class_index=index,
                split=split,
                image=folder / name / f"{number}.jpg",
                mask=folder / name / f"{number}.png",
                kept_image=kept / name / f"{number}.jpg",
            )
            for part, split in _PARTS.items()
            for index, name in enumerate(names[part], start=FSS_FIRST_CLASS[part])
            for number in FSS_IMAGES
        ]
        return Content(
            classes=tuple(name for part in _PARTS for name in names[part]),
            images=ordered_results(_record, items, workspace.jobs, workspace.faults),
            folds=partial(_folds, lists["test"].parent, items, workspace.faults),
            count=len(items),
        )


def _record(item: _Item) -> ImageRecord:
    """Check one image and its mask."""
    image, mask, kept = checked_with_mask(item.image, item.mask, _read_mask, item.kept_image)
    return mask_record(item.image_id, kept, image.sha256, item.split, {item.class_index: mask})


def _read_mask(path: Path) -> NDArray[np.bool_]:
    with open_image(path) as opened:
        return np.asarray(opened.convert("L")) >= FOREGROUND


def _folds(lists: Path, items: Sequence[_Item], faults: Faults, areas: Areas, _: Splits) -> FoldSet:
    published = read_fss(lists)
    trained = tuple((item.image_id, item.class_index) for item in items if item.split == "train")
    base = tuple(dict.fromkeys(index for _, index in trained))
    fold = replace(published.folds[0], base=base, train=trained)
    empty = [image for image, held in areas.items() if not held]
    notes = ["classes 520 to 759 are HSNet's val part, for choosing a model; no fold has them"]
    if empty:
        notes.append(f"{len(empty)} masks have no pixel: {', '.join(empty[:10])}")
    return faults.without(replace(published, folds=(fold,), notes=tuple(notes)))
