"""A tiny PACO-LVIS in the real formats, COCO's images, and Matcher's files of the same scenes."""

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets_prep.datasets.parts.paco import Release
from tests.datasets_prep.pascal_part_fixture import jpeg, rle, write_zip

SIDE = 96
PACO_CLASSES = tuple(f"mug:{part}" for part in ("base", "body", "handle", "inner", "rim")) + tuple(
    f"dog:{part}" for part in ("ear", "foot", "head", "leg")
)
UNTRAINED = "dog:tail"
PACO_IMAGES = tuple(range(101, 109))
NARROW = 101  # its first mug has a box less than a pixel wide


@dataclass
class TinyPaco:
    """Where the archives lie and what is in them; `write` writes all as it is now.

    Attributes:
        folder: with the archives.
        train: content of `paco_lvis_v1_train.json`.
        val: content of `paco_lvis_v1_val.json`.
        pickles: content of Matcher's `paco_part_train.pkl` and `paco_part_val.pkl`, by part.
        jpegs: by file name.
    """

    folder: Path
    train: dict[str, Any] = field(default_factory=dict)
    val: dict[str, Any] = field(default_factory=dict)
    pickles: dict[str, Any] = field(default_factory=dict)
    jpegs: dict[str, bytes] = field(default_factory=dict)

    def write(self) -> Release:
        """Write every archive."""
        files = {
            f"paco_lvis_v1_{part}.json": json.dumps(content).encode()
            for part, content in (("train", self.train), ("val", self.val), ("test", {}))
        }
        pickled = {
            f"paco/paco_part_{part}.pkl": pickle.dumps(self.pickles[part]) for part in self.pickles
        }
        images = {f"train2017/{name}": content for name, content in self.jpegs.items()}
        one = {f"val2017/{PACO_IMAGES[0]:012d}.jpg": b""}
        return Release(
            episodes=60,
            annotations=write_zip(self.folder / "paco_lvis_v1.zip", files, None),
            pickles=write_zip(self.folder / "paco.zip", pickled, None),
            images={
                "train2017": write_zip(self.folder / "train2017.zip", images, "train2017"),
                "val2017": write_zip(self.folder / "val2017.zip", one, "val2017"),
            },
            single="http://127.0.0.1:9",
        )


def write_tiny_paco(folder: Path) -> tuple[TinyPaco, Release]:
    """Nine classes: the second is in one image alone, the fifth in three, the others in all."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny = TinyPaco(folder)
    tiny.train = _paco(range(1, 3), [*PACO_CLASSES])
    tiny.val = _paco(PACO_IMAGES, [*PACO_CLASSES, UNTRAINED])
    tiny.jpegs = {f"{n:012d}.jpg": jpeg(n, SIDE, SIDE) for n in (*PACO_IMAGES, 999)}
    tiny.pickles = {"train": _pickled(tiny.train), "val": _pickled(tiny.val)}
    return tiny, tiny.write()


def number_of(name: str) -> int:
    """The category number of an object part."""
    return 201 + [*PACO_CLASSES, UNTRAINED].index(name)


def _paco(images: Sequence[int], classes: Sequence[str]) -> dict[str, Any]:
    objects = {"mug": 7, "dog": 12}
    annotations: list[dict[str, Any]] = []
    for image in images:
        for place, name in enumerate(("mug", "dog", "mug")):
            annotations += _annotated(image, place, name, objects[name], classes)
    categories = [
        {"supercategory": "OBJECT", "id": number, "name": name} for name, number in objects.items()
    ] + [
        {"supercategory": "PART", "id": number_of(name), "name": name}
        for name in (*PACO_CLASSES, UNTRAINED)
    ]
    return {
        "images": [
            {"id": n, "file_name": f"train2017/{n:012d}.jpg", "width": SIDE, "height": SIDE}
            for n in images
        ],
        # Parts before objects, and images mixed.
        "annotations": sorted(annotations, key=lambda a: (a["id"] % 10 == 0, a["id"] * 7 % 97)),
        "categories": categories[::-1],
        "part_categories": [],
        "attributes": [],
    }


def _annotated(
    image: int, place: int, name: str, category: int, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """An object, 32 pixels wide, with its parts below each other; ids end in 0 for objects."""
    left, number = 32.6 * place, 1000 * image + 100 * place
    width = 0.3 if (image, place) == (NARROW, 0) else 30.7
    found = [_annotation(number, number, image, category, [left, 4.9, width, 80.2], 1.0)]
    corners = [left, 4.9, left + 30.7, 4.9, left + 30.7, 85.1, left, 85.1]
    found[0]["segmentation"] = [corners]
    own = [c for c in classes if c.startswith(f"{name}:")]
    for row, part in enumerate(own):
        few = {PACO_CLASSES[1]: PACO_IMAGES[:1], PACO_CLASSES[4]: PACO_IMAGES[:3]}.get(part)
        if image > 100 and few is not None and image not in few:
            continue
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[6 + 15 * row : 19 + 15 * row, int(left) : int(left) + 20 + row] = 1
        each = _annotation(
            number + 1 + row, number, image, number_of(part), [left, 6, 20, 13], mask.sum()
        )
        found.append(each | {"segmentation": rle(mask)})
    return found


def _annotation(
    number: int, thing: int, image: int, category: int, bbox: list[float], area: Any
) -> dict[str, Any]:
    return {
        "id": number,
        "obj_ann_id": thing,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "area": float(area),
        "iscrowd": 0,
        "attribute_ids": [],
    }


def _pickled(content: Mapping[str, Any]) -> dict[str, Any]:
    """As Matcher keeps it: categories and images in an order of its own, images repeated."""
    boxes = {a["id"]: a["bbox"] for a in content["annotations"]}
    parts = [a for a in content["annotations"] if a["id"] != a["obj_ann_id"]]
    of_image: dict[int, list[dict[str, Any]]] = {}
    of_class: dict[int, list[dict[int, str]]] = {}
    for each in sorted(parts, key=lambda a: (a["category_id"] * 5 % 11, a["id"] * 3 % 31)):
        outline = each["segmentation"]
        of_image.setdefault(each["image_id"], []).append(
            {
                "category_id": each["category_id"],
                "obj_ann_id": each["obj_ann_id"],
                "obj_bbox": boxes[each["obj_ann_id"]],
                "segmentation": {**outline, "counts": outline["counts"].encode()},
            }
        )
        name = f"/data/coco/train2017/{each['image_id']:012d}.jpg"
        of_class.setdefault(each["category_id"], []).append({each["image_id"]: name})
    return {"cid2img": of_class, "img2anno": of_image}
