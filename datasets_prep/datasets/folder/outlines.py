"""Objects of one image as outlines in JSON: of a COCO file, or of LabelMe's file for the image."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.coco.images import read_things
from datasets_prep.datasets.coco.index import Entry
from datasets_prep.datasets.coco.render import Thing, named, per_class
from datasets_prep.datasets.coco.segmentation import encode

VOID = -1  # in the place of a class index


@dataclass(frozen=True)
class Outlines:
    """Where the objects of an image are.

    Attributes:
        path: the COCO file that many images share, or LabelMe's of this one.
        entry: the image's name, size, and its annotations in a COCO file.
        class_of: class index, by COCO's category or LabelMe's label; `VOID` of what is to be
            ignored, and nothing of background.
        labelme: which of the two it is.
    """

    path: Path
    entry: Entry
    class_of: Mapping[Any, int]
    labelme: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, as the file has them."""
        return self.entry.height, self.entry.width

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """The union of each class's objects, H×W by class index or `VOID`; they may overlap.

        Crowds count as their class.

        Raises:
            ValueError: naming the file and the object that is wrong, or has no outline.
        """
        from pycocotools import mask as coco

        try:
            things = self._things()
            for thing in things:
                with named(thing):
                    if not encode(thing.segmentation, *self.size):
                        raise ValueError("has no outline (a box alone?)")
            found = per_class(things, *self.size)
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: {error} (of {self.entry.name})") from None
        masks = {thing.class_index: np.zeros(self.size, dtype=np.bool_) for thing in things}
        for index, (counts, _) in found.items():
            masks[index] = coco.decode({"size": [*self.size], "counts": counts}).astype(np.bool_)
        return masks

    def _things(self) -> list[Thing]:
        if not self.labelme:
            return read_things(self.path, self.entry, self.class_of, crowds=True)
        shapes = read_labelme(self.path)["shapes"]
        return [
            Thing(number, self.class_of[shape["label"]], [[*_corners(shape)]])
            for number, shape in enumerate(shapes)
            if shape["label"] in self.class_of
        ]


def read_labelme(path: Path) -> dict[str, Any]:
    """The content of a file of LabelMe's, with a list of `shapes` that have labels, and a size.

    Raises:
        OSError, ValueError: if it cannot be read, or is no such file.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(body, dict) or not isinstance(body.get("shapes"), list):
        raise ValueError("it has no list of shapes, as LabelMe's files have")
    if not all(isinstance(s, dict) and isinstance(s.get("label"), str) for s in body["shapes"]):
        raise ValueError("it has a shape without a label")
    for shape in body["shapes"]:
        shape["label"] = shape["label"].strip()
        if not shape["label"]:
            raise ValueError("it has a shape with an empty label")
    sides = body.get("imageHeight"), body.get("imageWidth")
    if not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("imageHeight or imageWidth is no such number")
    return body


def _corners(shape: Mapping[str, Any]) -> Iterator[float]:
    """x0, y0, x1, y1, ... of a polygon or a rectangle."""
    kind, points = shape.get("shape_type", "polygon"), shape["points"]
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind != "polygon":
        raise ValueError(f"the shape {shape['label']!r} is a {kind}: only polygons and rectangles")
    for x, y in points:
        yield from (x, y)
