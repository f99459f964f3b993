"""Mutated annotations of parts: Pascal-Part's MATLAB files, PACO's JSON, and Matcher's files."""

import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from datasets_prep.datasets.parts.paco_files import read_pickles, read_release
from datasets_prep.datasets.parts.paco_lists import Item as PacoItem
from datasets_prep.datasets.parts.paco_lists import cut_item as cut_paco
from datasets_prep.datasets.parts.pascal_files import (
    Reader,
    read_json_things,
    read_lists,
    read_mat_things,
)
from datasets_prep.datasets.parts.pascal_lists import Item, cut_item
from datasets_prep.datasets.parts.sheet import Sheet
from datasets_prep.prepared.faults import Faults
from tests.datasets_prep.pascal_part_fixture import Drawn, mat_bytes, rle
from tests.fuzz.mutate import fuzzed, mutated, mutated_value, read_or_refused

HEIGHT, WIDTH = 10, 12
CLASSES = {"cat+FACE": 0, "cat+LEG": 1}


def rectangle(top: int, left: int, bottom: int, right: int) -> Any:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


SCENE = [
    Drawn(
        "cat",
        rectangle(0, 0, 9, 9),
        (("lear", rectangle(1, 1, 4, 4)), ("lleg", rectangle(5, 1, 8, 3))),
    ),
    Drawn("table", rectangle(0, 0, 3, 3), ()),
]
MAT = mat_bytes("2008_000001", SCENE)
JSON = {
    "object": [
        {
            "name": "cat",
            "bndbox": {"xmin": 0, "ymin": 1, "xmax": 9, "ymax": 8},
            "parts": [{"name": "FACE", "mask": [rle(SCENE[0].parts[0][1])]}],
        }
    ]
}
LISTS = {
    name: {"object": {"cat": {"part": {"FACE": {"train": ["a"], "val": ["b", "c"]}}}}}
    for name in ("animals", "indoor", "person", "vehicles")
}
COMMON = {"image_id": 7, "bbox": [0.5, 1, 8.2, 7], "area": 9.0}
PACO = {
    "images": [{"id": 7, "file_name": "train2017/000000000007.jpg"}],
    "categories": [{"id": 1, "name": "mug"}, {"id": 5, "name": "mug:rim"}],
    "annotations": [
        {
            "id": 1,
            "obj_ann_id": 1,
            "category_id": 1,
            "segmentation": [[0, 0, 5, 0, 5, 5]],
            **COMMON,
        },
        {"id": 2, "obj_ann_id": 1, "category_id": 5, "segmentation": rle(SCENE[0].mask), **COMMON},
    ],
}
PICKLED = {
    "cid2img": {5: [{7: "/x/train2017/000000000007.jpg"}]},
    "img2anno": {
        7: [
            {
                "category_id": 5,
                "obj_ann_id": 1,
                "obj_bbox": [0.5, 1, 8.2, 7],
                "segmentation": rle(SCENE[0].mask),
            }
        ]
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "000000000007.jpg")
    return folder


def cut(place: Path, path: Path, read: Reader) -> None:
    _, _, crops = cut_item(Item("7", place / "000000000007.jpg", path, CLASSES, read))
    for record in crops:
        assert (record.height, record.width) <= (HEIGHT, WIDTH)


def cut_all(place: Path, sheet: Sheet) -> None:
    for image, file in sheet.files.items():
        item = PacoItem(image, place / Path(file).name, tuple(sheet.things[image]))
        cut_paco(item)


def packed_again(content: bytes) -> bytes:
    """A MATLAB file of what is in its one packed element, with right sizes and checksums."""
    body = zlib.compress(content)
    return MAT[:128] + struct.pack("<II", 15, len(body)) + body


@fuzzed
@given(content=mutated(MAT) | mutated(zlib.decompress(MAT[136:])).map(packed_again))
def test_mat(place: Path, content: bytes) -> None:
    path = place / "2008_000001.mat"
    path.write_bytes(content)
    read_or_refused(
        "Pascal-Part's annotations (.mat)", lambda: cut(place, path, read_mat_things), path
    )


@fuzzed
@given(
    content=mutated_value(JSON).map(lambda value: json.dumps(value).encode())
    | mutated(json.dumps(JSON).encode())
)
def test_matchers_annotations(place: Path, content: bytes) -> None:
    path = place / "2008_000001.json"
    path.write_bytes(content)
    read_or_refused(
        "Matcher's annotations (JSON)", lambda: cut(place, path, read_json_things), path
    )


@fuzzed
@given(
    content=mutated_value(LISTS).map(lambda value: json.dumps(value).encode())
    | mutated(json.dumps(LISTS).encode())
)
def test_matchers_lists(place: Path, content: bytes) -> None:
    path = place / "all_obj_part_to_image.json"
    path.write_bytes(content)
    read_or_refused("Matcher's lists (JSON)", lambda: read_lists(path), path)


@fuzzed
@given(
    train=mutated_value(PACO).map(lambda value: json.dumps(value).encode()),
    val=mutated_value(PACO).map(lambda value: json.dumps(value).encode())
    | mutated_value(PACO["annotations"]).map(
        lambda value: json.dumps({**PACO, "annotations": value}).encode()
    )
    | mutated(json.dumps(PACO).encode()),
)
def test_paco(place: Path, train: bytes, val: bytes) -> None:
    for spoilt in ((json.dumps(PACO).encode(), val), (train, json.dumps(PACO).encode())):
        paths = (place / "paco_train.json", place / "paco_val.json")
        for path, content in zip(paths, spoilt, strict=True):
            path.write_bytes(content)

        def read(paths: tuple[Path, Path] = paths) -> None:
            cut_all(place, read_release(*paths, 0, Faults()))

        read_or_refused("PACO's annotations (JSON)", read, *paths, place)


@fuzzed
@given(content=mutated_value(PICKLED).map(pickle.dumps) | mutated(pickle.dumps(PICKLED)))
def test_pickles(place: Path, content: bytes) -> None:
    train, val = place / "train.pkl", place / "val.pkl"
    for path, other in ((train, val), (val, train)):
        path.write_bytes(content)
        other.write_bytes(pickle.dumps(PICKLED))
        read_or_refused(
            "Matcher's pickles", lambda: cut_all(place, read_pickles(train, val)), train, val, place
        )
