"""ISIC 2018: skin lesions outlined for Task 1, with their diagnoses as classes."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing, kept_paths, one_fold
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.parallel import ordered_results
from datasets_prep.runtime.walk import files_below

_BUCKETS = (
    "https://isic-challenge-data.s3.amazonaws.com/2018",
    "https://isic-archive.s3.amazonaws.com/challenges/2018",
)
_PAGE = "https://challenge.isic-archive.com/data/#2018"

Numbering = Literal["gf-sam", "dr-adapter"]
CLASSES: Mapping[Numbering, tuple[str, ...]] = {
    "gf-sam": ("nevus", "melanoma", "seborrheic_keratosis"),
    "dr-adapter": ("seborrheic_keratosis", "nevus", "melanoma"),
}


@dataclass(frozen=True)
class Release:
    """The files that the dataset is made from, and how many images each class has."""

    images: SourceFile
    masks: SourceFile
    classes: SourceFile
    counts: Mapping[str, int] = field(default_factory=dict)


TASK1 = Release(
    images=SourceFile(
        name="ISIC2018_Task1-2_Training_Input.zip",
        urls=tuple(f"{bucket}/ISIC2018_Task1-2_Training_Input.zip" for bucket in _BUCKETS),
        sha256="80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f",
        extracted_size=11_300_000_000,
        page=_PAGE,
        note="about 11.2 GB; it unpacks to ISIC2018_Task1-2_Training_Input, which serves as well",
        folder="ISIC2018_Task1-2_Training_Input",
    ),
    masks=SourceFile(
        name="ISIC2018_Task1_Training_GroundTruth.zip",
        urls=tuple(f"{bucket}/ISIC2018_Task1_Training_GroundTruth.zip" for bucket in _BUCKETS),
        sha256="99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
        extracted_size=40_000_000,
        page=_PAGE,
        folder="ISIC2018_Task1_Training_GroundTruth",
    ),
    classes=SourceFile(
        name="class_id.csv",
        urls=(
            "https://raw.githubusercontent.com/slei109/PATNet/0df31d02629e82b650964fbb99000ec5f1223308/data/isic/class_id.csv",
            "https://raw.githubusercontent.com/slei109/PATNet/master/data/isic/class_id.csv",
        ),
        sha256="2c331fe8d3e789d29d44e684df39ea206cfbb1f5bbb3adfb207c025b69fc6b3e",
        extracted_size=0,
        page="https://github.com/slei109/PATNet",
        note="data/isic/class_id.csv of that repository",
    ),
    counts={"nevus": 1_867, "melanoma": 519, "seborrheic_keratosis": 208},
)


class Isic2018Options(BuilderOptions):
    """The order of the classes, in which the episodes go round."""

    numbering: Numbering = Field(
        default="gf-sam",
        description="Order of the classes: gf-sam (nevus, melanoma, seborrheic keratosis) or "
        "dr-adapter, also INSID3's (seborrheic keratosis, nevus, melanoma).",
    )


class Isic2018(BaseBuilder[Isic2018Options, Release]):
    """ISIC 2018, Task 1: 2,594 dermoscopic images, one lesion each, three diagnoses."""

    name: ClassVar[str] = "isic2018"
    summary: ClassVar[str] = "ISIC 2018: skin lesions of 3 diagnoses, one test fold"
    official: ClassVar[Release] = TASK1
    Options: ClassVar[type[BuilderOptions]] = Isic2018Options

    def sources(self) -> Sequence[SourceFile]:
        """The images, their masks and the table of diagnoses."""
        return (self.release.images, self.release.masks, self.release.classes)

    def disk_needed(self) -> int:
        """Label maps and the image table, about."""
        return 300_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check every image and mask; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.crossdomain.labelled import Item, binary_record

        classes = CLASSES[self.options.numbering]
        faults = workspace.faults
        table = read_classes(workspace.sources[self.release.classes.name], classes, faults)
        folder, masks = (
            workspace.unpacked(source) for source in (self.release.images, self.release.masks)
        )
        images = _find_images(folder, table, faults)
        kept = kept_paths(workspace, images.values())
        items = [
            Item(
                image_id=image_id,
                image=image,
                kept_image=kept[image],
                masks=(masks / f"{image_id}_segmentation.png",),
                class_index=table[image_id],
            )
            for image_id, image in sorted(images.items())
        ]

        def folds(areas: Areas, splits: Splits) -> FoldSet:
            held = Counter(classes[index] for image in areas.values() for index in image)
            notes = differing(held, self.release.counts, workspace.progress)
            return one_fold(len(classes), areas, notes=notes)

        return Content(
            classes=classes,
            images=ordered_results(binary_record, items, workspace.jobs, faults),
            folds=folds,
            count=len(items),
        )


def read_classes(
    path: Path, classes: Sequence[str], faults: Faults | None = None
) -> dict[str, int]:
    """Class index by image id, from a table with the columns ID and Class.

    Raises:
        DatasetError: naming the file and every row that cannot be used.
    """
    table: dict[str, int] = {}
    wrong = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                image_id, name = row.get("ID"), row.get("Class")
                if not image_id or image_id in table or name not in classes:
                    reason = (
                        f"{path}, line {line}: expected a new image and one of "
                        f"{', '.join(classes)}, found {image_id!r} and {name!r}"
                    )
                    wrong.append(Fault(image_id or f"{path.name}, line {line}", reason))
                else:
                    table[image_id] = classes.index(name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read the class table {path}: {error}") from None
    faults = Faults() if faults is None else faults
    faults.settle("these rows of the class table are wrong:", wrong, table)
    return {image: index for image, index in table.items() if image not in faults.left_out}


def _find_images(folder: Path, table: Mapping[str, int], faults: Faults) -> dict[str, Path]:
    """Every image of the table, also where somebody has sorted them into class folders."""
    found: dict[str, Path] = {}
    wrong = []
    for path in sorted(path for path in files_below(folder) if path.match("*.jpg")):
        if path.stem in found:
            wrong.append(
                Fault(path.stem, f"{found[path.stem]} and {path} are both called {path.stem}")
            )
        elif path.stem not in table:
            wrong.append(Fault(path.stem, f"{path} is not in the class table"))
        found[path.stem] = path
    missing = sorted(table.keys() - found.keys())
    wrong += [Fault(image_id, f"{folder / image_id}.jpg is missing") for image_id in missing]
    faults.settle("images and class table do not fit:", wrong, found)
    return {image: path for image, path in found.items() if image not in faults.left_out}
