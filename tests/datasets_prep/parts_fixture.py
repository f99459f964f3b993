"""Tiny Pascal-Part and PACO-Part in the real formats, and Matcher's files of the same scenes."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.parts.paco import Release as PacoRelease
from datasets_prep.parts.pascal import Release as PascalRelease
from datasets_prep.sources import SourceFile

Mask = NDArray[np.uint8]

HEIGHT, WIDTH = 120, 160
VOC = "VOCdevkit/VOC2010"
MERGED = "Annotations_Part_json_merged_part_classes"
VAL = tuple(f"2008_00010{n}" for n in range(7))
TRAIN = ("2009_000001", "2009_000002")
POINT, PARTLESS = VAL[1], VAL[2]  # a cat of one pixel; a person without parts

# Object -> its parts as Pascal-Part names them, and what Matcher merges each into.
PARTS: Mapping[str, Mapping[str, str]] = {
    "bird": {"head": "FACE", "beak": "FACE", "lleg": "LEG", "rfoot": "LEG", "neck": "NECK",
             "tail": "TAIL", "torso": "TORSO", "lwing": "WINGS", "rwing": "WINGS"},
    **{
        animal: {"lear": "FACE", "reye": "FACE", "lfleg": "LEG", "rbuleg": "LEG", "rbho": "LEG",
                 "neck": "NECK", "tail": "TAIL", "torso": "TORSO", "muzzle": "", "lfpa": ""}
        for animal in ("cat", "cow", "dog", "horse", "sheep")
    },
    "bottle": {"body": "BODY", "cap": ""},
    "pottedplant": {"plant": "PLANT", "pot": "POT"},
    "tvmonitor": {"screen": "SCREEN"},
    "person": {"luarm": "ARMHAND", "rhand": "ARMHAND", "hair": "FACE", "mouth": "FACE",
               "llleg": "LEG", "rfoot": "LEG", "neck": "NECK", "torso": "TORSO"},
    "aeroplane": {"body": "BODY", "engine_1": "ENGINE", "engine_2": "ENGINE", "tail": "TAIL",
                  "wheel_3": "WHEEL", "lwing": "WINGS", "stern": ""},
    "bicycle": {"fwheel": "WHEEL", "chainwheel": "WHEEL", "handlebar": ""},
    **{
        car: {"door_1": "DOOR", "leftside": "VEHICLE_SIDE", "roofside": "VEHICLE_SIDE",
              "wheel_2": "WHEEL", "window_11": "WINDOWS", "headlight_1": "", "fliplate": ""}
        for car in ("bus", "car")
    },
    "motorbike": {"bwheel": "WHEEL", "saddle": ""},
    "train": {"coach_2": "TRAIN_COACH", "cleftside_1": "TRAIN_COACH", "hfrontside": "TRAIN_HEAD",
              "head": ""},
}  # fmt: skip
SUPERCLASSES = {
    "animals": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "indoor": ("bottle", "pottedplant", "tvmonitor"),
    "person": ("person",),
    "vehicles": ("aeroplane", "bicycle", "bus", "car", "motorbike", "train"),
}


@dataclass(frozen=True)
class Drawn:
    """An object of a scene: its name, mask, and its parts' names and masks."""

    name: str
    mask: Mask
    parts: tuple[tuple[str, Mask], ...]


@dataclass(frozen=True)
class TinyPascalPart:
    """Where the archives lie, and the objects and JPEG of every image."""

    folder: Path
    release: PascalRelease
    scenes: Mapping[str, Sequence[Drawn]]
    jpegs: Mapping[str, bytes]


def write_tiny_pascal_part(folder: Path) -> TinyPascalPart:
    """Write VOC 2010, Pascal-Part and Matcher's archive into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {image: _scene(image) for image in (*VAL, *TRAIN)}
    jpegs = {image: _jpeg(seed, HEIGHT, WIDTH) for seed, image in enumerate(scenes)}
    voc = {
        **{f"{VOC}/JPEGImages/{image}.jpg": content for image, content in jpegs.items()},
        f"{VOC}/ImageSets/Main/train.txt": _lines(TRAIN),
        f"{VOC}/ImageSets/Main/val.txt": _lines(VAL[::-1]),
    }
    mats = {f"Annotations_Part/{i}.mat": mat_bytes(i, scene) for i, scene in scenes.items()}
    json_files = {f"{MERGED}/{i}.json": _json(i, scene) for i, scene in scenes.items()}
    json_files["all_obj_part_to_image.json"] = json.dumps(_image_lists(scenes)).encode()
    release = PascalRelease(
        episodes=60,
        voc=_tar(folder / "tiny-voc2010.tar", voc, "w", VOC),
        mat=_tar(
            folder / "trainval.tar.gz", {**mats, "part2ind.m": b"%"}, "w:gz", "Annotations_Part"
        ),
        json=_zip(folder / "pascal.zip", {f"pascal/{n}": c for n, c in json_files.items()}, MERGED),
    )
    return TinyPascalPart(folder, release, scenes, jpegs)


def _scene(image: str) -> list[Drawn]:
    """All objects in a grid of cells, a second bird without a face in half of the images."""
    number = int(image[-1])
    names = [name for name in PARTS if not (image == VAL[3] and name == "sheep")]
    things = [_thing(name, cell) for cell, name in enumerate(names)]
    if number % 2 == 0:
        things.append(_thing("bird", 17, leave_out={"head", "beak"}))
    things.append(Drawn("table", _rectangle(0, 0, 5, 5), ()))
    if image == POINT:
        point = _rectangle(7, 9, 8, 10)
        things.append(Drawn("cat", point, (("lear", point),)))
    if image == PARTLESS:
        things.append(Drawn("person", _rectangle(90, 10, 110, 30), ()))
    return things


def _thing(name: str, cell: int, leave_out: frozenset[str] | set[str] = frozenset()) -> Drawn:
    """Parts as stripes of a cell; the object ends one row and column behind its last stripe."""
    top, left = cell // 5 * 30, cell % 5 * 32
    parts = [part for part in PARTS[name] if part not in leave_out]
    step = 28 / len(parts)
    return Drawn(
        name,
        _rectangle(top, left, top + 30, left + 32),
        tuple(
            (part, _rectangle(top + int(i * step), left, top + int((i + 1) * step), left + 30))
            for i, part in enumerate(parts)
        ),
    )


def _rectangle(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def mat_bytes(image: str, scene: Sequence[Drawn]) -> bytes:
    """Pascal-Part's format: a struct of structs, `parts` empty where there are none."""
    from scipy.io import savemat

    objects = np.zeros((1, len(scene)), dtype=[(n, object) for n in _OBJECT])
    for place, thing in enumerate(scene):
        parts: Any = np.zeros((0, 0))
        if thing.parts:
            parts = np.zeros((1, len(thing.parts)), dtype=[("part_name", object), ("mask", object)])
            for at, part in enumerate(thing.parts):
                parts[0, at] = part
        objects[0, place] = (thing.name, np.array([[1]]), thing.mask, parts)
    buffer = io.BytesIO()
    savemat(buffer, {"anno": {"imname": image, "objects": objects}}, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


_OBJECT = ("class", "class_ind", "mask", "parts")


def rle(mask: Mask) -> dict[str, Any]:
    """A compressed RLE with its counts as text, as JSON has it."""
    from pycocotools import mask as coco

    found = coco.encode(np.asfortranarray(mask))
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode()}


def _json(image: str, scene: Sequence[Drawn]) -> bytes:
    objects = []
    for thing in scene:
        rows, columns = np.nonzero(thing.mask)
        box = dict(xmin=columns.min(), ymin=rows.min(), xmax=columns.max(), ymax=rows.max())
        parts = [
            {"name": PARTS[thing.name][part], "mask": [rle(mask)]}
            for part, mask in thing.parts
            if PARTS[thing.name][part]
        ]
        objects.append(
            {
                "name": thing.name,
                "bndbox": {side: int(value) for side, value in box.items()},
                "parts": parts,
            }
        )
    return json.dumps({"filename": image, "object": objects}).encode()


def _image_lists(scenes: Mapping[str, Sequence[Drawn]]) -> dict[str, Any]:
    """All parts of all objects, those too that are in no class; nothing to train for one."""

    def images(name: str, merged: str, part: Sequence[str]) -> list[str]:
        return [
            image
            for image in sorted(part)
            if any(
                thing.name == name and any(PARTS[name][raw] == merged for raw, _ in thing.parts)
                for thing in scenes[image]
            )
        ]

    found: dict[str, Any] = {}
    for superclass, names in SUPERCLASSES.items():
        objects = {}
        for name in names:
            parts = {
                merged: {"train": images(name, merged, TRAIN), "val": images(name, merged, VAL)}
                for merged in sorted({m for m in PARTS[name].values() if m})
            }
            objects[name] = {"part": parts}
        found[superclass] = {"object": objects}
    found["indoor"]["object"]["bottle"]["part"]["CAP"] = {"train": [], "val": list(VAL)}
    return found


# PACO

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

    def write(self) -> PacoRelease:
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
        return PacoRelease(
            episodes=60,
            annotations=_zip(self.folder / "paco_lvis_v1.zip", files, None),
            pickles=_zip(self.folder / "paco.zip", pickled, None),
            images={
                "train2017": _zip(self.folder / "train2017.zip", images, "train2017"),
                "val2017": _zip(self.folder / "val2017.zip", one, "val2017"),
            },
            single="http://127.0.0.1:9",
        )


def write_tiny_paco(folder: Path) -> tuple[TinyPaco, PacoRelease]:
    """Nine classes: the second is in one image alone, the fifth in three, the others in all."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny = TinyPaco(folder)
    tiny.train = _paco(range(1, 3), [*PACO_CLASSES])
    tiny.val = _paco(PACO_IMAGES, [*PACO_CLASSES, UNTRAINED])
    tiny.jpegs = {f"{n:012d}.jpg": _jpeg(n, SIDE, SIDE) for n in (*PACO_IMAGES, 999)}
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


def _jpeg(seed: int, height: int, width: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (height // 8, width // 8, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize((width, height))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return buffer.getvalue()


def _lines(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _tar(path: Path, files: Mapping[str, bytes], mode: Any, folder: str) -> SourceFile:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return _source(path, folder)


def _zip(path: Path, files: Mapping[str, bytes], folder: str | None) -> SourceFile:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return _source(path, folder)


def _source(path: Path, folder: str | None) -> SourceFile:
    content = path.read_bytes()
    return SourceFile(
        name=path.name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        extracted_size=0,
        page=f"https://example.org/{path.name}",
        folder=folder,
    )
