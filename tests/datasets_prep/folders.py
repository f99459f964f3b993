"""A folder as a user brings it, of images with label maps or masks, and its preparation."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.datasets.folder.builder import Folder
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.episodes.recipes import recipes
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare

HEIGHT, WIDTH = 8, 10
CLASSES = ("cat", "dog", "fox", "owl")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"fixed-v1": recipes()["fixed-v1"]}
    monkeypatch.setattr(lists_module, "recipes", lambda: few)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A good folder: twelve images in three scenes with label maps, 0 background."""
    for index in range(12):
        write(tmp_path / f"in/images/s{index % 3}_{index:02d}.png", photo(index))
        write(tmp_path / f"in/labels/s{index % 3}_{index:02d}.png", label_map(index))
    return tmp_path / "in"


def photo(index: int) -> NDArray[np.uint8]:
    return RandomState(index).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def label_map(index: int) -> NDArray[np.uint8]:
    """Two classes an image, each of 12 pixels, and a row to ignore."""
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    labels[1:4, 1:5] = index % 4 + 1
    labels[4:7, 1:5] = (index + 1) % 4 + 1
    labels[0] = 255
    return labels


def write(path: Path, array: NDArray[np.generic], mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path)


def make(
    top: Path,
    root: Path,
    jobs: int = 1,
    embed: bool = False,
    skip_bad: bool = False,
    **options: object,
) -> PreparedDataset:
    given = {"folder": top, "name": "mine", "classes": CLASSES, "folds": 2} | options
    builder = Folder(FolderOptions(**{key: v for key, v in given.items() if v is not None}))
    how = PrepareOptions(root, jobs=jobs, embed_images=embed, shots=(1,), skip_bad=skip_bad)
    return prepare(builder, how)


def names(top: Path) -> list[str]:
    return sorted(path.stem for path in (top / "images").iterdir())


def write_masks(top: Path, classes: Mapping[str, int], overlap: bool = False) -> None:
    """Masks of `label_map`, with a void row of value 128, in place of the label maps."""
    shutil.rmtree(top / "labels")
    for name in names(top):
        labels = label_map(int(name[3:]))
        for class_name, index in classes.items():
            mask = np.where(labels == index + 1, 255, 0).astype(np.uint8)
            if overlap and mask.any():
                mask[1:7, 3] = 255
            elif not overlap:
                mask[0] = 128
            if (mask == 255).any():
                write(top / "masks" / class_name / f"{name}.png", mask)
