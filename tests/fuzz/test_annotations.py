"""Mutated annotation files: COCO's JSON, ISIC's class table, SBD's MATLAB files."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets_prep.datasets.coco.classes import CATEGORIES
from datasets_prep.datasets.coco.images import Item, records
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.coco.render import MaskMode
from datasets_prep.datasets.crossdomain.isic2018 import CLASSES, read_classes
from datasets_prep.datasets.pascal.masks import read_sbd
from datasets_prep.prepared.faults import Faults
from tests.datasets_prep.coco_fixture import IDS, annotation, box
from tests.datasets_prep.pascal_fixture import mat_bytes
from tests.fuzz.mutate import fuzzed, mutated, mutated_value, read_or_refused

HEIGHT, WIDTH = 12, 16
NAMES = ("COCO_val2014_000000000001.jpg", "COCO_val2014_000000000002.jpg")


def instances() -> dict[str, Any]:
    """Two images with every kind of outline: polygons, and RLEs as counts and compressed."""
    from pycocotools import mask as coco

    runs = {"size": [HEIGHT, WIDTH], "counts": [40, 20, HEIGHT * WIDTH - 60]}
    packed = coco.frPyObjects(runs, HEIGHT, WIDTH)
    objects = [
        [box(1, 1, 9.5, 9)],
        [box(0, 0, 5, 5), box(3.25, 4, 15, 12)],
        runs,
        {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
    ]
    return {
        "images": [
            {"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for n, name in enumerate(NAMES)
        ],
        "annotations": [
            annotation(10 * image + n, image, IDS[n], outline, crowd=int(n == 2 and image))
            for image in (0, 1)
            for n, outline in enumerate(objects)
        ],
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
    }


INSTANCES = instances()
MODES: tuple[MaskMode, ...] = ("overlap-last", "first-polygon", "per-class")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    for name in NAMES:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    return folder


@fuzzed
@given(
    text=mutated_value(INSTANCES).map(lambda value: json.dumps(value).encode())
    | mutated_value(INSTANCES["annotations"]).map(
        lambda value: json.dumps({**INSTANCES, "annotations": value}).encode()
    )
    | mutated(json.dumps(INSTANCES).encode()),
    mode=st.sampled_from(MODES),
    skip=st.booleans(),
)
def test_coco(place: Path, text: bytes, mode: MaskMode, skip: bool) -> None:
    path = place / "instances.json"
    path.write_bytes(text)

    def read() -> None:
        faults = Faults(skip)
        items = [
            Item(entry, "test", path, place / entry.name, place / entry.name, mode)
            for entry in read_index(path, faults=faults)
        ]
        for record in records(items, 1, faults):
            assert (record.height, record.width) == (HEIGHT, WIDTH)
            assert record.image_id not in faults.left_out
            assert all(0 < area <= HEIGHT * WIDTH for area in record.areas.values())

    read_or_refused("COCO's annotations (JSON)", read, path, place)


TABLE = "ID,Class\n" + "".join(f"ISIC_{n:07d},{CLASSES['gf-sam'][n % 3]}\n" for n in range(9))


@fuzzed
@given(content=mutated(TABLE.encode()))
def test_class_table(place: Path, content: bytes) -> None:
    path = place / "class_id.csv"
    path.write_bytes(content)
    read_or_refused("ISIC's class table (CSV)", lambda: read_classes(path, CLASSES["gf-sam"]), path)


LABELS = np.tile(np.array([0, 1, 20, 7], np.uint8), (6, 2))
MAT = mat_bytes(LABELS)


def packed_again(content: bytes) -> bytes:
    """A MATLAB file of what is in its one packed element, with right sizes and checksums."""
    body = zlib.compress(content)
    return MAT[:128] + struct.pack("<II", 15, len(body)) + body


@fuzzed
@given(content=mutated(MAT) | mutated(zlib.decompress(MAT[136:])).map(packed_again))
def test_mat(place: Path, content: bytes) -> None:
    path = place / "2008_000001.mat"
    path.write_bytes(content)
    read_or_refused("SBD's annotations (.mat)", lambda: read_sbd(path), path)
