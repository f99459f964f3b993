"""Readers of Pascal-Part: the original MATLAB files, and Matcher's JSON with merged parts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.parts.cut import Thing
from datasets_prep.datasets.parts.merged import LEFT_OUT, SUPERCLASSES, class_name, merged
from datasets_prep.errors import DatasetError
from datasets_prep.formats.matfile import read_mat

# class name -> class index
Classes = Mapping[str, int]
Reader = Callable[[Path, Classes], list[Thing]]


def read_mat_things(path: Path, classes: Classes) -> list[Thing]:
    """Every object of an original annotation, by its place in the file, with its merged parts.

    The box is that of the object's mask. As in Matcher it ends before the mask's last column and
    row.

    Raises:
        DatasetError: naming the file, if it is damaged or of another form.
    """

    def take(anno: Any) -> list[Thing]:
        found = anno[0, 0]["objects"]
        objects = found[0] if found.size else ()
        return [_mat_thing(number, each, classes) for number, each in enumerate(objects)]

    return read_mat(path, "anno", take, "anno.objects")


def _mat_thing(number: int, found: Any, classes: Classes) -> Thing:
    name = str(found["class"][0])
    named = found["parts"][0] if found["parts"].size else ()
    parts = []
    for part in named:
        label = merged(str(part["part_name"][0]))
        index = classes.get(class_name(name, label)) if label else None
        if index is not None:
            parts.append((index, _plane(part["mask"])))
    return Thing(number, name, _box(_plane(found["mask"])), tuple(parts))


def _plane(mask: Any) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "uibf":
        raise ValueError(f"a mask is {array.dtype} {array.shape}, not an image")
    return array.astype(bool)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def read_json_things(path: Path, classes: Classes) -> list[Thing]:
    """Every object of one of Matcher's files, by its place in the file, with its parts.

    Raises:
        DatasetError: naming the file, if it is damaged or of another form.
    """
    body = _json(path)
    try:
        return [_json_thing(*each, classes) for each in enumerate(body["object"])]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _unlike(path, error) from None


def _json_thing(number: int, found: Mapping[str, Any], classes: Classes) -> Thing:
    name, box = str(found["name"]), found["bndbox"]
    left, top, right, bottom = (int(box[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    parts = [
        (classes[label], outline)
        for part in found["parts"]
        if (label := class_name(name, part["name"])) in classes
        for outline in part["mask"]
    ]
    return Thing(number, name, (left, top, right, bottom), tuple(parts))


def read_lists(path: Path) -> list[dict[str, tuple[str, ...]]]:
    """By fold, the test images of each class in Matcher's order, from its list file.

    A class is a part with images for training and for the test; aeroplane+TAIL is passed over.

    Raises:
        DatasetError: naming the file, if it is no such list.
    """
    body = _json(path)
    try:
        return [_listed(body[name]["object"]) for name in SUPERCLASSES]
    except (LookupError, TypeError, AttributeError) as error:
        raise _unlike(path, error) from None


def _listed(things: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(map(str, images["val"]))
        for thing, found in things.items()
        for part, images in found["part"].items()
        if images["train"] and images["val"]
        if (name := class_name(thing, part)) != LEFT_OUT
    }


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not a readable annotation file: {error}") from None


def _unlike(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{path} is not as Matcher's loader reads it ({type(error).__name__}: {error})"
    )
