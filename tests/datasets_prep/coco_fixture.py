"""A tiny COCO 2014 in the real formats: annotation and image archives, and pickled fold lists."""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.datasets.coco.classes import CATEGORIES
from datasets_prep.datasets.coco.release import Release

HEIGHT, WIDTH, CELL = 256, 320, 64
IDS = tuple(CATEGORIES)
SPECIAL = "COCO_val2014_000000000099"  # overlaps, two parts, a hole's worth of crowd
PARTS = {"train2014": 8, "val2014": 12}


@dataclass
class TinyCoco:
    """Where the archives lie and what is in them.

    Attributes:
        folder: with the archives and lists.
        instances: content of `instances_train2014.json` and `instances_val2014.json`, by part.
        lists: content of the pickles, by `trn/fold0.pkl` and so on.
        images: JPEG bytes by part and file name.
    """

    folder: Path
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    lists: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    images: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def write(self) -> Release:
        """Write everything as it is now."""
        files = {f"captions_{part}.json": b"{}" for part in PARTS}
        for part, content in self.instances.items():
            files[f"instances_{part}.json"] = json.dumps(content).encode()
        return Release(
            annotations=self._zip("annotations_trainval2014", "annotations", files),
            train=self._zip("train2014", "train2014", self.images["train2014"]),
            val=self._zip("val2014", "val2014", self.images["val2014"]),
            fold_lists={name: self._pickle(name) for name in self.lists},
            single="http://127.0.0.1:9/val2014",
            counts=None,
        )

    def annotations(self, image_id: str) -> list[dict[str, Any]]:
        """Those of one image, in order."""
        part = self.instances[image_id.split("_")[1]]
        number = int(image_id.split("_")[2])
        return [a for a in part["annotations"] if a["image_id"] == number]

    def _zip(self, name: str, folder: str, files: Mapping[str, bytes]) -> SourceFile:
        path = self.folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr(f"{folder}/", b"")
            for file, content in files.items():
                bundle.writestr(f"{folder}/{file}", content)
        return _source(path, path.name, folder)

    def _pickle(self, name: str) -> SourceFile:
        path = self.folder / "coco" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(self.lists[name]))
        return _source(path, f"coco/{name}", None)


def write_tiny_coco(folder: Path) -> tuple[TinyCoco, Release]:
    """Write archives and lists into `folder`: each image holds the 20 classes of one fold."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny = TinyCoco(folder)
    for part, count in PARTS.items():
        tiny.instances[part] = _instances(part, count)
        names = [image["file_name"] for image in tiny.instances[part]["images"]]
        tiny.images[part] = {name: _jpeg(seed) for seed, name in enumerate(names)}
    tiny.lists = _lists()
    return tiny, tiny.write()


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as a polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(number: int, image: int, category: int, segmentation: Any, crowd: int = 0) -> Any:
    """One object in COCO's form."""
    return {
        "segmentation": segmentation,
        "area": 1.0,
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "category_id": category,
        "id": number,
    }


def _instances(part: str, count: int) -> dict[str, Any]:
    # Ids fall, so that the order of the file is not that of the names.
    numbers = [100 + count - n for n in range(count)]
    objects = [
        annotation(1000 * number + cell, number, IDS[number % 4 + 4 * cell], [_cell(cell)])
        for number in numbers
        for cell in range(20)
    ]
    objects.append(annotation(1, 2, IDS[0], _crowd(), crowd=1))
    numbers += [1, 2]  # without any annotation, and with a crowd alone
    if part == "val2014":
        numbers.append(99)
        objects += _special()
    return {
        "info": {"description": "COCO 2014 Dataset", "year": 2014},
        "images": [
            {
                "license": 5,
                "file_name": f"COCO_{part}_{number:012d}.jpg",
                "coco_url": f"http://images.cocodataset.org/{part}/COCO_{part}_{number:012d}.jpg",
                "height": HEIGHT,
                "width": WIDTH,
                "id": number,
            }
            for number in numbers
        ],
        "licenses": [{"id": 5, "name": "Attribution License"}],
        "annotations": _shuffled(objects),
        "categories": [
            {"supercategory": "thing", "id": number, "name": name}
            for number, name in CATEGORIES.items()
        ],
    }


def _shuffled(objects: list[Any]) -> list[Any]:
    """Images mixed, as in the real files; those of SPECIAL stay in their order, at the end."""
    order = np.random.RandomState(5).permutation(len(objects))
    return sorted((objects[i] for i in order), key=lambda a: a["id"] if a["image_id"] == 99 else 0)


def _special() -> list[Any]:
    """Two parts; a later object over an earlier one; one hidden by that; a crowd over all."""
    return [
        annotation(11, 99, IDS[4], [box(10, 10, 60, 70), box(100.5, 10.25, 180.75, 90)]),
        annotation(12, 99, IDS[8], [box(20, 20, 40, 40)]),
        annotation(13, 99, IDS[0], [box(15, 15, 50, 50)]),
        annotation(14, 99, IDS[0], _crowd(), crowd=1),
        annotation(15, 99, IDS[12], [box(WIDTH - 30.5, HEIGHT - 50.2, WIDTH, HEIGHT)]),
    ]


def _cell(cell: int) -> list[float]:
    left, top = cell % 5 * CELL, cell // 5 * CELL
    return box(left + 2.5, top + 1.75, left + 61.2, top + 60.1)


def _crowd() -> dict[str, Any]:
    whole = HEIGHT * WIDTH
    return {"counts": [100, 5000, whole - 5100], "size": [HEIGHT, WIDTH]}


def _lists() -> dict[str, dict[int, list[str]]]:
    """Of every class the images that hold it, in an order of their own."""
    lists: dict[str, dict[int, list[str]]] = {}
    for name, part in (("trn", "train2014"), ("val", "val2014")):
        numbers = [100 + PARTS[part] - n for n in range(PARTS[part])]
        order = np.random.RandomState(3).permutation(numbers)
        for fold in range(4):
            lists[f"{name}/fold{fold}.pkl"] = {
                c: [f"{part}/COCO_{part}_{n:012d}.jpg" for n in order if n % 4 == c % 4]
                if (c % 4 == fold) == (name == "val")
                else []
                for c in range(80)
            }
    return lists


def _jpeg(seed: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (HEIGHT // 16, WIDTH // 16, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize((WIDTH, HEIGHT))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return buffer.getvalue()


def _source(path: Path, name: str, folder: str | None) -> SourceFile:
    content = path.read_bytes()
    return SourceFile(
        name=name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        extracted_size=0,
        page=f"https://example.org/{name}",
        folder=folder,
    )


def plain_labels(annotations: list[Any], height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    """The label map of whole objects, later over earlier, by `annToMask` and array writes."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.imgs = {a["image_id"]: {"height": height, "width": width} for a in annotations}
    labels = np.zeros((height, width), np.uint8)
    for each in annotations:
        if not each["iscrowd"]:
            labels[coco.annToMask(each) == 1] = IDS.index(each["category_id"]) + 1
    return labels
