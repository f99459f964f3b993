"""What is foreground in a mask file that another program wrote: never guessed where in doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.errors import BenchError
from datasets_prep.formats.imagefile import UNREADABLE, open_image

Palette = Literal["colour", "index"]

_SINGLE_CHANNEL = ("1", "L", "P", "I", "I;16")
_NAMED = 8  # values that a message names


@dataclass(frozen=True)
class Reading:
    """How the values of mask files are read.

    Attributes:
        threshold: this value and all above are foreground; without it all but 0 is, and there may
            be one value beside 0.
        palette: whether a palette file's colours are meant, of which black is background and
            the brightest channel the value, or its indices. Without it both have to agree.
    """

    threshold: int | None = None
    palette: Palette | None = None

    def as_config(self) -> dict[str, object]:
        """What a result says of it; nothing where nothing was said."""
        said = {"threshold": self.threshold, "palette": self.palette}
        return {name: value for name, value in said.items() if value is not None}

    def values(self, path: Path) -> NDArray[np.int64]:
        """A mask file as H×W values.

        Raises:
            BenchError: naming the file, if it is no single-channel image, or has a palette in
                which colours and indices disagree on what is background.
        """
        try:
            with open_image(path) as image:
                if image.mode not in _SINGLE_CHANNEL:
                    raise BenchError(f"{path.name} has mode {image.mode}, not a single channel")
                stored = np.asarray(image).astype(np.int64)
                if image.mode == "P":
                    return self._of_palette(path.name, stored, image)
        except UNREADABLE as error:
            raise BenchError(f"{path.name} cannot be read: {error}") from None
        return stored * 255 if image.mode == "1" else stored

    def _of_palette(
        self, name: str, indices: NDArray[np.int64], image: Image.Image
    ) -> NDArray[np.int64]:
        if self.palette == "index":
            return indices
        listed = np.array(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
        colours = np.zeros((256, 3), dtype=np.int64)
        colours[: len(listed)] = listed
        bright = colours.max(axis=1)
        if self.palette is None:
            for index in np.unique(indices):
                if (index == 0) != (bright[index] == 0):
                    raise BenchError(
                        f"{name} has a palette in which index {index} is "
                        f"#{bytes(colours[index].tolist()).hex()}: --palette colour takes all but "
                        f"black for foreground, --palette index all but index 0"
                    )
            return indices
        values: NDArray[np.int64] = bright[indices]
        return values

    def foreground(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where a mask's values mean foreground."""
        return values >= (1 if self.threshold is None else self.threshold)


AS_THEY_ARE = Reading()


@dataclass
class Values:
    """The values that the masks of a folder hold, each with the first file that holds it."""

    found: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[np.int64]) -> None:
        """Take in one file."""
        for value in np.unique(values).tolist():
            self.found.setdefault(value, name)

    def doubts(self, reading: Reading) -> list[str]:
        """Why it is not sure what is foreground in these files; nothing where it is."""
        others = {value: name for value, name in sorted(self.found.items()) if value}
        if reading.threshold is not None:
            if others and max(others) < reading.threshold:
                return [f"no value reaches the threshold {reading.threshold}: {_listed(others)}"]
            return []
        if len(others) > 1:
            return [
                f"a mask has two values, 0 and one for the foreground, these hold "
                f"{len(others)} beside 0: {_listed(others)}; --threshold N takes N and above for "
                f"foreground, and 1 all but 0"
            ]
        return []


def _listed(values: Mapping[int, str]) -> str:
    """`1 (000000.png), 2 (000003.png), ...`."""
    some = [f"{value} ({name})" for value, name in list(values.items())[:_NAMED]]
    return ", ".join(some) + (", ..." if len(values) > _NAMED else "")
