"""A tiny LVIS in the real formats: annotations and images as archives, and Matcher's pickle."""

import hashlib
import io
import json
import pickle
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.datasets.lvis import Lvis, LvisOptions
from datasets_prep.datasets.lvis import lists as lvis_lists
from datasets_prep.datasets.lvis.release import Counts, Release
from datasets_prep.episodes import fixed, pfenet
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare

HEIGHT, WIDTH = 40, 56
IMAGES = {"train2017": 9, "val2017": 5}
CATEGORIES = 25
# Category -> in how many images: 22 categories are in more than one, 12 in more than five.
SHOWN = {c: 6 if c <= 12 else 2 if c <= 22 else 1 if c == 23 else 0 for c in range(1, 26)}


@dataclass
class TinyLvis:
    """Where the archives lie and what is in them.

    Attributes:
        folder: with the archives.
        annotations: content of `lvis_v1_val.json`.
        images: JPEG bytes by name, `train2017/000000000107.jpg`.
        pickled: content of `lvis_val.pkl`.
    """

    folder: Path
    annotations: dict[str, Any] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    pickled: dict[int, dict[str, Any]] = field(default_factory=dict)

    def write(self) -> Release:
        """Write everything as it is now."""
        text = json.dumps(self.annotations).encode()
        return Release(
            annotations=self._zip("lvis_v1_val.json.zip", {"lvis_v1_val.json": text}, None),
            images={
                part: self._zip(
                    f"{part}.zip",
                    {name: data for name, data in self.images.items() if name.startswith(part)},
                    part,
                )
                for part in IMAGES
            },
            lists=self._zip(
                "lvis.zip",
                {"lvis/lvis_train.pkl": b"", "lvis/lvis_val.pkl": dumped(self.pickled)},
                None,
            ),
            single="http://127.0.0.1:9",
            counts=Counts(len(self.images), len(self.annotations["annotations"]), CATEGORIES),
        )

    def images_of(self, category: int) -> list[str]:
        """Ids of the images that show a category, ascending by number."""
        numbers = {
            a["image_id"] for a in self.annotations["annotations"] if a["category_id"] == category
        }
        names = {int(name[-16:-4]): name[:-4] for name in self.images}
        return [names[number] for number in sorted(numbers)]

    def _zip(self, name: str, files: Mapping[str, bytes], folder: str | None) -> SourceFile:
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as bundle:
            for file, content in files.items():
                bundle.writestr(file, content)
        content = path.read_bytes()
        return SourceFile(
            name=name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            extracted_size=0,
            page=f"https://example.org/{name}",
            folder=folder,
        )


Tiny = tuple[TinyLvis, Release]


class BoxMode(IntEnum):
    """What detectron2 leaves in every annotation."""

    XYWH_ABS = 1

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[int]]:
        """As the published file has it; some releases of Python 3.11 pickle a getattr instead."""
        return type(self), (int(self),)


BoxMode.__module__ = "detectron2.structures.boxes"


def dumped(value: object) -> bytes:
    """Pickle what may hold detectron2's enumeration, which is not installed."""
    modules = {name: ModuleType(name) for name in ("detectron2", "detectron2.structures")}
    boxes = ModuleType(BoxMode.__module__)
    boxes.BoxMode = BoxMode  # type: ignore[attr-defined]
    with patch.dict(sys.modules, {**modules, BoxMode.__module__: boxes}):
        return pickle.dumps(value)


def write_tiny_lvis(folder: Path) -> Tiny:
    """Write archives into `folder`; published lists have an order of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny = TinyLvis(folder)
    # Numbers of both parts are mixed, as in COCO.
    parts = [part for part, count in IMAGES.items() for _ in range(count)]
    order = np.random.RandomState(1).permutation(len(parts))
    names = [f"{parts[i]}/{number:012d}.jpg" for number, i in enumerate(order, start=101)]
    tiny.images = {name: _jpeg(seed) for seed, name in enumerate(names)}
    tiny.annotations = _annotations(names)
    shuffled = np.random.RandomState(2)
    for category in shuffled.permutation([c for c, count in SHOWN.items() if count]).tolist():
        images = shuffled.permutation(tiny.images_of(category)).tolist()
        tiny.pickled[category] = {
            f"{image}.jpg": {"annotations": [{"bbox_mode": BoxMode.XYWH_ABS, "segmentation": []}]}
            for image in images
        }
    return tiny, tiny.write()


@pytest.fixture(scope="module", autouse=True)
def short_lists() -> Iterator[None]:
    """Ten folds of thousands of episodes would take most of the time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(lvis_lists, "EPISODES", 30)
        monkeypatch.setattr(fixed, "EPISODES", 12)
        monkeypatch.setattr(pfenet, "EPISODES", 10)
        monkeypatch.setattr(pfenet, "BAM_EPISODES", 2)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny_lvis(tmp_path_factory.mktemp("archives"))


def run(
    release: Release,
    data_root: Path,
    from_dir: Path,
    *,
    skip_bad: bool = False,
    embed: bool = False,
    shots: tuple[int, ...] = (1, 5),
    **options: str,
) -> PreparedDataset:
    """Prepare from archives or folders in `from_dir`."""
    common = PrepareOptions(data_root, from_dir, shots=shots, embed_images=embed, skip_bad=skip_bad)
    return prepare(Lvis(LvisOptions.model_validate(options), release), common)


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """A rectangle as the only polygon of an object."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def _annotations(names: list[str]) -> dict[str, Any]:
    objects: list[dict[str, Any]] = []
    for category, count in SHOWN.items():
        for place in range(count):
            number = 101 + (category + place) % len(names)
            # Two instances that overlap, and of one image's classes many overlap too.
            left, top = category % 5 * 6 + 1.5, category % 4 * 5 + 2.25
            for shift in (0, 7):
                shape = box(left + shift, top, left + shift + 12, top + 15)
                objects.append(_object(len(objects) + 1, number, category, shape))
    return {
        "info": {"description": "LVIS v1.0", "version": "v1.0"},
        "annotations": [objects[i] for i in np.random.RandomState(3).permutation(len(objects))],
        "images": [
            {
                "id": int(name[-16:-4]),
                "coco_url": f"http://images.cocodataset.org/{name}",
                "flickr_url": "http://example.org/1.jpg",
                "height": HEIGHT,
                "width": WIDTH,
                "license": 4,
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
            }
            for name in reversed(names)
        ],
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "categories": [
            {"id": c, "name": f"thing_{c}", "frequency": "r", "synset": f"thing.n.{c:02d}"}
            for c in reversed(SHOWN)
        ],
    }


def _object(number: int, image: int, category: int, segmentation: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": 1.0,
        "bbox": [0.0, 0.0, 1.0, 1.0],
    }


def _jpeg(seed: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (HEIGHT // 8, WIDTH // 8, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).resize((WIDTH, HEIGHT)).save(buffer, format="JPEG")
    return buffer.getvalue()
