"""Fold lists of PASCAL-5i: as published, or derived from the label maps.

Order of the test pairs: images by id, classes ascending. Order of the training pairs: class by
class with images by id (HSNet's lists, and by OSLSM's rule), or image by image in PFENet's order.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets_prep.datasets.pascal.release import CLASSES, ListName
from datasets_prep.datasets.pascal.rules import OSLSM_LEAST, PFENET_LEAST, Sizes, kept_pairs
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import pascal_pairs
from datasets_prep.prepared.folds import (
    FoldSet,
    NovelInTrain,
    Pair,
    contiguous,
    split,
    without_novel_images,
)

FOLDS = 4
_NAMED = 10


@dataclass(frozen=True)
class ListFiles:
    """The published list files: HSNet's by `trn/fold0.txt` and so on, and PFENet's images.

    Images in `left_out` are passed over, with `tested_only` all training images.
    """

    fold_lists: Mapping[str, Path]
    pfenet_train: Path | None = None
    left_out: Container[str] = ()
    tested_only: bool = False

    def pairs(self, part: Literal["trn", "val"]) -> list[Pair]:
        """HSNet's pairs of all folds: `trn/fold0.txt` lists fold 0's own classes, as `val` does.

        Raises:
            DatasetError: if a file is no such list.
        """
        if self.tested_only and part == "trn":
            return []
        files = (self.fold_lists[f"{part}/fold{fold}.txt"] for fold in range(FOLDS))
        pairs = (pair for file in files for pair in pascal_pairs(file))
        return [pair for pair in pairs if pair[0] not in self.left_out]

    def pfenet_images(self) -> list[str]:
        """PFENet's training images in order: `JPEGImages/ID.jpg SegmentationClassAug/ID.png`.

        Raises:
            DatasetError: if there is no such file.
        """
        if self.tested_only:
            return []
        if self.pfenet_train is None:
            raise DatasetError("PFENet's list of training images is not at hand")
        try:
            lines = self.pfenet_train.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"cannot read the list {self.pfenet_train}: {error}") from None
        images = (Path(line.split()[0]).stem for line in lines if line.strip())
        return [image for image in images if image not in self.left_out]


def make_folds(
    lists: ListName,
    novel: NovelInTrain,
    files: ListFiles,
    areas: Sizes,
    hits: Sizes,
    splits: Mapping[str, str],
) -> FoldSet:
    """The four folds; novel classes of fold f are 5f..5f+4.

    Args:
        lists: published, or the rule to derive them by.
        novel: what novel classes are in training images; "drop" leaves such images out of a
            fold's training pairs, however few pixels of a novel class they hold.
        files: the published lists.
        areas: pixels of each class, by image in the dataset's order.
        hits: grid hits of each class, by image.
        splits: "train" or "test", by image in the dataset's order.

    Raises:
        DatasetError: if a list is damaged or names images that there are not.
    """
    by_split = {
        name: [image for image, part in splits.items() if part == name]
        for name in ("train", "test")
    }
    if lists == "published":
        train, test = files.pairs("trn"), files.pairs("val")
    elif lists == "oslsm":
        train = kept_pairs(by_split["train"], hits, OSLSM_LEAST)
        train.sort(key=lambda pair: pair[1])
        test = kept_pairs(by_split["test"], hits, OSLSM_LEAST)
    else:
        train_images = files.pfenet_images()
        _check_known(train_images, areas)
        train = kept_pairs(train_images, areas, PFENET_LEAST)
        test = kept_pairs(by_split["test"], areas, PFENET_LEAST)
    _check_known((image for image, _ in (*train, *test)), areas)
    folds = split(contiguous(len(CLASSES), FOLDS), train, test)
    if novel == "drop":
        folds = tuple(without_novel_images(fold, areas) for fold in folds)
    return FoldSet(folds=folds, query_order="walk", lists=lists, novel_in_train=novel)


def published_folds(files: ListFiles, novel: NovelInTrain) -> FoldSet:
    """The four folds as published, whatever images there are.

    Raises:
        DatasetError: if a list is damaged.
    """
    folds = split(contiguous(len(CLASSES), FOLDS), files.pairs("trn"), files.pairs("val"))
    return FoldSet(folds=folds, query_order="walk", lists="published", novel_in_train=novel)


def _check_known(images: Iterable[str], areas: Sizes) -> None:
    unknown = sorted({image for image in images if image not in areas})
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise DatasetError(
            f"the lists name images that VOC and SBD do not hold: "
            f"{', '.join(unknown[:_NAMED])}{more}; are the archives complete?"
        )
