"""What PACO's annotations say of its test images, whichever files they come from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from datasets_prep.datasets.parts.cut import Thing
from datasets_prep.errors import DatasetError

FOLDERS = ("train2017", "val2017")


@dataclass(frozen=True, slots=True)
class Part:
    """A part's class, the number of its object, and its outline as the annotation has it."""

    index: int
    thing: int
    outline: Any


@dataclass(frozen=True)
class Sheet:
    """The classes and what is annotated in the test images; filled by `enter`.

    Attributes:
        classes: every class of the training images, in the order that makes the folds.
        files: by image id its file, `train2017/000000000009.jpg`.
        things: by image id its objects.
        listed: by class index the images that show it and, of each, the numbers of the objects
            with that part, in the order of their annotations.
    """

    classes: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    things: dict[str, list[Thing]] = field(default_factory=dict)
    listed: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def enter(self, path: Path, file: str, parts: Sequence[Part], boxes: Mapping[int, Any]) -> None:
        """Add an image.

        Args:
            path: the annotation file, for messages.
            file: the image's.
            parts: all of the image.
            boxes: of its objects, by number: x, y, width, height.

        Raises:
            DatasetError: naming an image that is none of COCO 2017, or a box that is none.
        """
        image = image_id(file)
        if file not in [f"{folder}/{image}.jpg" for folder in FOLDERS]:
            raise DatasetError(f"{path}: {file!r} is no image of COCO 2017")
        outlines: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        for part in parts:
            outlines[part.thing].append((part.index, part.outline))
            numbers = self.listed.setdefault(part.index, {}).setdefault(image, [])
            if part.thing not in numbers:
                numbers.append(part.thing)
        self.files[image] = file
        self.things[image] = [
            Thing(number, "", _box(path, number, boxes[number]), tuple(found))
            for number, found in outlines.items()
        ]


def image_id(file: str) -> str:
    """The id of an image: its file's name without folder and suffix."""
    return PurePosixPath(file).stem


def _box(path: Path, number: int, bbox: Any) -> tuple[int, int, int, int]:
    """The pixels from x and y up to x + width and y + height, all cut off as in Matcher."""
    try:
        x, y, width, height = bbox
        return (int(x), int(y), int(x + width), int(y + height))
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"{path}: object {number} has the box {bbox!r}") from None
