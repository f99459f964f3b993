"""Masks of outside programs as `bench score` gets them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.results.outside_masks import file_name
from tests.bad_input.given import Desk, Ended, given
from tests.tiny import tiny_dataset


def score(
    desk: Desk, write: Callable[[NDArray[np.uint8], Path], None] | None = None, *args: object
) -> Ended:
    """Score the ground truth, each mask (0 or 1) written by `write`."""
    dataset = tiny_dataset(desk.place / "data", shots=(1,))
    folder = desk.place / "masks"
    folder.mkdir()
    for episode in dataset.episodes("fixed-v1", 0, 1):
        mask = np.uint8(dataset.mask(episode.query, episode.class_index) == 1)
        (write or save)(mask, folder / file_name(episode.index))
    return desk.bench(
        *("score", folder, "-d", "tiny", "--fold", 0, "--shots", 1, "--name", "mine"), *args
    )


def save(mask: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(mask * np.uint8(255)).save(path)


@given("`score`: a colour image as mask")
def colour(desk: Desk) -> Ended:
    return score(desk, lambda mask, path: Image.fromarray(mask * 255).convert("RGB").save(path))


@given("`score`: a mask of another size than its query")
def another_size(desk: Desk) -> Ended:
    return score(desk, lambda mask, path: save(mask[:-1], path))


@given("`score`: masks of two values, 0 and any other")
def two_values(desk: Desk) -> Ended:
    return score(desk)
