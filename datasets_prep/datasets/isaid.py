"""iSAID-5i: tiles of aerial images, 15 classes in three folds.

Sources: caoql98/SDM for the tiles; linhanwang/SCCNet, data/isaid.py and data/splits/isaid, for the
lists in the form that GF-SAM and INSID3 read. Their loaders are HSNet's for PASCAL-5i, with as many
episodes as a fold has pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from datasets_prep.archives.hosts import on_drive, split_list
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.coco.lists import check_known
from datasets_prep.datasets.crossdomain.test_set import differing, kept_paths
from datasets_prep.errors import DatasetError, refuse
from datasets_prep.formats.imagefile import UNREADABLE, checked_with_mask, open_image
from datasets_prep.formats.splitfiles import pascal_pairs
from datasets_prep.prepared.folds import FoldSet, Pair, contiguous, split
from datasets_prep.prepared.records import IGNORE, ImageRecord, label_record
from datasets_prep.runtime.parallel import ordered_results

# In the order of iSAID's own category numbers, which are the values of the masks.
CLASSES = (
    "ship", "storage_tank", "baseball_diamond", "tennis_court", "basketball_court",
    "ground_track_field", "bridge", "large_vehicle", "small_vehicle", "helicopter",
    "swimming_pool", "roundabout", "soccer_ball_field", "plane", "harbor",
)  # fmt: skip
FOLDS = 3
LARGE_IMAGE = "^([^_]+)_"  # of a tile's name, `P0977_1648_1904_1442_1698`

_MASK = "_instance_color_RGB.png"
_SCCNET = "linhanwang/SCCNet"
_COMMIT = "c9c1009ac813bfb6226a7816e064141e1fe4c7e5"


@dataclass(frozen=True)
class Release:
    """The tiles, the test lists by fold, and how many tiles there are."""

    archive: SourceFile
    lists: tuple[SourceFile, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


ISAID_5I = Release(
    archive=on_drive(
        "iSAID_5i.zip",
        "17PQ1iKCbaj2OjwBdCn_VBh09ntI4lxgL",
        extracted_size=3_000_000_000,
        note="no hash is published; a folder iSAID_patches with val/images and val/semantic_png "
        "serves as well",
        folder="iSAID_patches",
    ),
    lists=tuple(
        split_list(f"isaid/val/fold{fold}.txt", repository=_SCCNET, commit=_COMMIT)
        for fold in range(FOLDS)
    ),
    counts={"tiles": 6_363},
)  # fmt: skip


class IsaidOptions(BuilderOptions):
    """Choices that give other lists."""

    lists: Literal["published", "derived"] = Field(
        default="published",
        description="Test lists: SCCNet's files, or every class in sight of every tile.",
    )
    apart: bool = Field(
        default=False,
        description="Never pair tiles of one large image, which overlap; no published list is "
        "drawn so.",
    )


@dataclass(frozen=True)
class Item:
    """One tile: where it and its mask are, and where it is to lie."""

    image_id: str
    image: Path
    mask: Path
    kept_image: Path


class Isaid(BaseBuilder[IsaidOptions, Release]):
    """iSAID-5i: 6,363 tiles of iSAID's val part, 256×256, three folds of five classes."""

    name: ClassVar[str] = "isaid"
    summary: ClassVar[str] = "iSAID-5i: aerial images, 15 classes in 3 folds"
    official: ClassVar[Release] = ISAID_5I
    Options: ClassVar[type[BuilderOptions]] = IsaidOptions

    def sources(self) -> Sequence[SourceFile]:
        """The archive, and the lists that the options ask for."""
        lists = self.release.lists if self.options.lists == "published" else ()
        return (self.release.archive, *lists)

    def disk_needed(self) -> int:
        """The image table twice, about."""
        return 100_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check every tile and mask; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        folder = workspace.unpacked(self.release.archive) / "val"
        images = sorted((folder / "images").glob("*.png"))
        if not images:
            raise DatasetError(f"there is no {folder / 'images'}/*.png; is it iSAID-5i's folder?")
        kept = kept_paths(workspace, images)
        items = [
            Item(i.stem, i, folder / "semantic_png" / f"{i.stem}{_MASK}", kept[i]) for i in images
        ]
        pairs = self._published(workspace) if self.options.lists == "published" else None

        def folds(areas: Areas, _: Splits) -> FoldSet:
            made = workspace.faults.without(make_folds(pairs, areas, apart=self.options.apart))
            check_known((image for fold in made.folds for image, _ in fold.test), areas)
            notes = differing({"tiles": len(areas)}, self.release.counts, workspace.progress)
            return replace(made, notes=(*notes, *other_pairs(made, areas)))

        return Content(
            classes=CLASSES,
            images=ordered_results(make_record, items, workspace.jobs, workspace.faults),
            folds=folds,
            count=len(items),
        )

    def _published(self, workspace: Workspace) -> list[Pair]:
        pairs: list[Pair] = []
        for file, novel in zip(self.release.lists, contiguous(len(CLASSES), FOLDS), strict=True):
            path = workspace.sources[file.name]
            found = pascal_pairs(path, len(CLASSES))
            others = [f"{image} of {CLASSES[c]}" for image, c in found if c not in novel]
            refuse(f"{path} lists classes of another fold:", others, 10)
            pairs += found
        return pairs


def make_folds(pairs: Sequence[Pair] | None, areas: Areas, *, apart: bool) -> FoldSet:
    """Three folds of five classes in a row.

    Args:
        pairs: published ones, in order; None for all that the masks show, by name.
        areas: pixels of each class, by image.
        apart: whether an episode may hold only one tile of a large image.
    """
    lists = "derived" if pairs is None else "published"
    if pairs is None:
        pairs = [(image, index) for image in sorted(areas) for index in sorted(areas[image])]
    return FoldSet(
        split(contiguous(len(CLASSES), FOLDS), (), pairs),
        query_order="walk",
        published_episodes="pairs",
        group=LARGE_IMAGE if apart else None,
        lists=f"{lists}, tiles apart" if apart else lists,
    )


def other_pairs(folds: FoldSet, areas: Areas) -> tuple[str, ...]:
    """Notes on how the listed pairs differ from those that the masks show."""
    listed = {pair for fold in folds.folds for pair in fold.test}
    shown = {(image, index) for image, held in areas.items() for index in held}
    empty, unlisted = sorted(listed - shown), len(shown - listed)
    notes = []
    if empty:
        named = ", ".join(f"{image} of {CLASSES[index]}" for image, index in empty[:10])
        notes.append(f"{len(empty):,} listed pairs have no pixel: {named}")
    if unlisted:
        notes.append(f"{unlisted:,} pairs that the masks show are not listed")
    return tuple(notes)


def make_record(item: Item) -> ImageRecord:
    """Check a tile and its mask.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    image, labels, kept = checked_with_mask(item.image, item.mask, read_labels, item.kept_image)
    return label_record(item.image_id, kept, image.sha256, "test", labels)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """A mask as uint8 H×W: 0 background, i+1 class i, 255 ignore; as the file has it.

    Raises:
        DatasetError: naming the file, if it is missing, damaged or holds anything else.
    """
    try:
        with open_image(path) as opened:
            mode, labels = opened.mode, np.array(opened)
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a readable mask: {error}") from None
    if mode not in ("L", "P"):
        raise DatasetError(
            f"{path} is of mode {mode}, not one channel of class numbers; iSAID's coloured masks "
            "are others, take those in semantic_png"
        )
    values = set(np.unique(labels).tolist()) - {*range(len(CLASSES) + 1), IGNORE}
    if values:
        raise DatasetError(f"{path} holds the values {sorted(values)}, which are no classes")
    return labels.astype(np.uint8)
