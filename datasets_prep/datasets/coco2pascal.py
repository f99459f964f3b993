"""COCO-20i to PASCAL: models trained on a COCO fold, tested on VOC classes which it holds out.

Source: mboudiaf/RePRI-Few-Shot-Segmentation, config_files/coco2pascal.yaml, src/dataset/classes.py
and figures/coco2pascal.png.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.coco.classes import CLASSES as COCO_CLASSES
from datasets_prep.datasets.pascal.images import measure_all, with_labels
from datasets_prep.datasets.pascal.release import CLASSES, VOC2012_SBD, Release
from datasets_prep.datasets.pascal.rules import PFENET_LEAST, kept_pairs
from datasets_prep.datasets.pascal.union import held_out, located
from datasets_prep.prepared.folds import FoldSet, interleaved, split

FOLDS = 4
# VOC's names where COCO has another.
_IN_COCO: Mapping[str, str] = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
_CAR, _CAT = CLASSES.index("car"), CLASSES.index("cat")


class Coco2PascalOptions(BuilderOptions):
    """One choice: the classes that were meant, or those that were run."""

    repri_compat: bool = Field(
        default=False,
        description="Test car in fold 3 and cat in fold 2, as RePRI's released code does: its "
        "table of VOC's classes has the two swapped.",
    )


class Coco2Pascal(BaseBuilder[Coco2PascalOptions, Release]):
    """VOC 2012 val in the four folds of COCO-20i, without classes seen in a fold's training."""

    name: ClassVar[str] = "coco2pascal"
    summary: ClassVar[str] = "COCO-20i to PASCAL: VOC val, tested on classes held out of COCO"
    official: ClassVar[Release] = VOC2012_SBD
    Options: ClassVar[type[BuilderOptions]] = Coco2PascalOptions

    def sources(self) -> Sequence[SourceFile]:
        """VOC alone: it annotates every image of its val set itself."""
        return (self.release.voc,)

    def disk_needed(self) -> int:
        """Label maps and the image table, about."""
        return 50_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check and measure the images of VOC val; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        folder = workspace.unpacked(self.release.voc)
        items = located(folder, held_out(folder), workspace)
        measured = measure_all(items, workspace.jobs, workspace.progress, workspace.faults)
        return Content(
            classes=CLASSES,
            images=with_labels(items, measured),
            folds=partial(make_folds, self.options.repri_compat),
            count=len(items),
        )


def make_folds(repri_compat: bool, areas: Areas, splits: Splits) -> FoldSet:
    """Four folds of all VOC val pairs of at least 2048 pixels (PFENet's rule, as in RePRI).

    Args:
        repri_compat: swap car and cat, as RePRI's released code does.
        areas: pixels of each class, by image.
        splits: the part of each image; all are tested on.
    """
    pairs = kept_pairs(splits, areas, PFENET_LEAST)
    return FoldSet(
        folds=split(novel_classes(repri_compat), train=(), test=pairs),
        query_order="walk",
        lists="repri" if repri_compat else "intended",
    )


def novel_classes(repri_compat: bool) -> list[tuple[int, ...]]:
    """By COCO fold, the VOC classes that are not among the fold's 60 training classes."""
    in_coco = [COCO_CLASSES.index(_IN_COCO.get(name, name)) for name in CLASSES]
    folds = [
        {index for index, coco in enumerate(in_coco) if coco in novel}
        for novel in interleaved(len(COCO_CLASSES), FOLDS)
    ]
    if repri_compat:
        swapped = {_CAR, _CAT}
        folds = [fold ^ swapped if len(fold & swapped) == 1 else fold for fold in folds]
    return [tuple(sorted(fold)) for fold in folds]
