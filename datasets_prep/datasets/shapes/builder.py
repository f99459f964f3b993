"""The `shapes` dataset: nothing to download, small, and hard enough to tell models apart."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.shapes.scene import CLASSES, render
from datasets_prep.prepared.folds import FoldSet, Pair, interleaved, split
from datasets_prep.prepared.records import ImageRecord, encode_png, label_record
from datasets_prep.runtime.parallel import ordered_map

FOLDS = 4
IMAGES: Mapping[Literal["train", "test"], int] = {"train": 1600, "test": 500}
MIN_AREA = 120

_Item = tuple[Literal["train", "test"], int]


class Shapes(BaseBuilder[BuilderOptions, None]):
    """Generated scenes, 128×128: 20 silhouettes in 4 folds of 5, with train and test images.

    Every image comes from its own generator, so that neither the number of processes nor the
    order of work changes a bit. An image stands in the lists for a class of which at least
    `MIN_AREA` pixels are in sight; smaller remains keep their labels.
    """

    name: ClassVar[str] = "shapes"
    summary: ClassVar[str] = "generated scenes of 20 textured silhouettes; nothing to download"

    def sources(self) -> Sequence[SourceFile]:
        """None: everything is generated."""
        return ()

    def disk_needed(self) -> int:
        """Bytes, while the image table is written."""
        return 200_000_000

    def build(self, workspace: Workspace) -> Content:
        """Draw every image."""
        items: list[_Item] = [(part, i) for part, count in IMAGES.items() for i in range(count)]
        return Content(
            classes=CLASSES,
            images=ordered_map(_image, items, workspace.jobs),
            folds=_folds,
            count=len(items),
            notes=(f"pairs need {MIN_AREA} visible pixels of the class",),
        )


def _image(item: _Item) -> ImageRecord:
    part, index = item
    seed = (Shapes.version, tuple(IMAGES).index(part), index)
    pixels, labels = render(*seed, first=index % len(CLASSES))
    return label_record(
        image_id=f"{part}_{index:04d}",
        image=encode_png(pixels, level=1),
        image_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        split=part,
        labels=labels,
    )


def _folds(areas: Areas, splits: Splits) -> FoldSet:
    pairs: dict[str, list[Pair]] = {part: [] for part in IMAGES}
    for image, held in areas.items():
        pairs[splits[image]] += [(image, index) for index in held if held[index] >= MIN_AREA]
    novel = interleaved(len(CLASSES), FOLDS)
    return FoldSet(split(novel, pairs["train"], pairs["test"]), query_order="walk")
