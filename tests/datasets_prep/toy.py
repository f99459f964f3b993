"""A dataset of a few tiny images, made in no time, for tests of what holds for every dataset."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.records import ImageRecord, encode_png, label_record, mask_record
from datasets_prep.runtime.parallel import ordered_map

HEIGHT, WIDTH = 10, 12
CLASSES = ("cat", "dog", "fox", "owl")


class ToyOptions(BuilderOptions):
    images: int = 24
    seed: int = 0
    files: bool = False
    overlap: bool = False
    folds: int = 2
    group: str | None = None
    needed: int = 0


class Toy:
    """Image i shows class i mod 4 in a box, and sometimes the next class in another."""

    name: ClassVar[str] = "toy"
    summary: ClassVar[str] = "for tests"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BuilderOptions]] = ToyOptions

    def __init__(self, **options: object) -> None:
        self.options = ToyOptions(**options)

    @property
    def dataset(self) -> str:
        return "toy"

    def sources(self) -> Sequence[SourceFile]:
        return ()

    def describe(self) -> Mapping[str, object]:
        return {"seed": self.options.seed}

    def disk_needed(self) -> int:
        return self.options.needed

    def build(self, workspace: Workspace) -> Content:
        make = partial(record, options=self.options, raw=workspace.raw)
        return Content(
            classes=CLASSES,
            images=ordered_map(make, range(self.options.images), workspace.jobs),
            folds=self._folds,
            count=self.options.images,
            notes=("a toy",),
        )

    def _folds(self, areas: Areas, splits: Splits) -> FoldSet:
        pairs = [(image, index) for image, held in areas.items() for index in held]
        novel = contiguous(len(CLASSES), self.options.folds)
        return FoldSet(split(novel, pairs, pairs), group=self.options.group)


def image_id(index: int) -> str:
    """Three groups: the part before the underscore."""
    return f"{'abc'[index % 3]}_{index:03d}"


def pixels(index: int, seed: int) -> NDArray[np.uint8]:
    return RandomState([seed, index]).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def masks(index: int) -> dict[int, NDArray[np.bool_]]:
    """Masks by class; those of every third image overlap."""
    first, second = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    first[1:6, 2:9] = True
    second[4:8, 5 + index % 3 : 11] = True
    return {index % 4: first} | ({(index + 1) % 4: second} if index % 3 == 0 else {})


def labels(index: int) -> NDArray[np.uint8]:
    """Label map: the masks painted one over the other, with a border to ignore."""
    out = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for class_index, mask in masks(index).items():
        out[mask] = class_index + 1
    out[0] = 255
    return out


def record(index: int, options: ToyOptions, raw: Path) -> ImageRecord:
    array = pixels(index, options.seed)
    content = encode_png(array)
    image: Path | bytes = content
    if options.files:
        image = raw / f"{image_id(index)}.{options.seed}.png"
        image.write_bytes(content)
    sha256 = hashlib.sha256(content if options.files else array.tobytes()).hexdigest()
    if options.overlap:
        return mask_record(image_id(index), image, sha256, "all", masks(index))
    return label_record(image_id(index), image, sha256, "all", labels(index))
