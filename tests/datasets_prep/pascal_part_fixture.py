"""A tiny Pascal-Part in the real formats, and Matcher's files of the same scenes."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.datasets.parts.pascal import Release

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
    release: Release
    scenes: Mapping[str, Sequence[Drawn]]
    jpegs: Mapping[str, bytes]


def write_tiny_pascal_part(folder: Path) -> TinyPascalPart:
    """Write VOC 2010, Pascal-Part and Matcher's archive into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {image: _scene(image) for image in (*VAL, *TRAIN)}
    jpegs = {image: jpeg(seed, HEIGHT, WIDTH) for seed, image in enumerate(scenes)}
    voc = {
        **{f"{VOC}/JPEGImages/{image}.jpg": content for image, content in jpegs.items()},
        f"{VOC}/ImageSets/Main/train.txt": _lines(TRAIN),
        f"{VOC}/ImageSets/Main/val.txt": _lines(VAL[::-1]),
    }
    mats = {f"Annotations_Part/{i}.mat": mat_bytes(i, scene) for i, scene in scenes.items()}
    json_files = {f"{MERGED}/{i}.json": _json(i, scene) for i, scene in scenes.items()}
    json_files["all_obj_part_to_image.json"] = json.dumps(_image_lists(scenes)).encode()
    release = Release(
        episodes=60,
        voc=_tar(folder / "tiny-voc2010.tar", voc, "w", VOC),
        mat=_tar(
            folder / "trainval.tar.gz", {**mats, "part2ind.m": b"%"}, "w:gz", "Annotations_Part"
        ),
        json=write_zip(
            folder / "pascal.zip", {f"pascal/{n}": c for n, c in json_files.items()}, MERGED
        ),
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


def jpeg(seed: int, height: int, width: int) -> bytes:
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


def write_zip(path: Path, files: Mapping[str, bytes], folder: str | None) -> SourceFile:
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
