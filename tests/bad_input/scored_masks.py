"""Masks of outside programs as `bench score` gets them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.results.kept_masks import file_name
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


def probabilities(mask: NDArray[np.uint8], path: Path) -> None:
    """0..9 outside the object, 250..255 in it: 8 bits that are no mask."""
    noise = np.arange(mask.size, dtype=np.uint8).reshape(mask.shape)
    Image.fromarray(np.where(mask == 1, 250 + noise % 6, noise % 10).astype(np.uint8)).save(path)


def white_first(mask: NDArray[np.uint8], path: Path) -> None:
    """What one sees is right; index 0 is white."""
    image = Image.fromarray(np.uint8(1 - mask), mode="P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(path)


@given("`score`: maps of probabilities")
def maps(desk: Desk) -> Ended:
    return score(desk, probabilities)


@given("`score --threshold 128`: maps of probabilities")
def thresholded(desk: Desk) -> Ended:
    return score(desk, probabilities, "--threshold", 128)


@given("`score --threshold 128`: masks of 0 and 1")
def above_all(desk: Desk) -> Ended:
    return score(desk, lambda mask, path: Image.fromarray(mask).save(path), "--threshold", 128)


@given("`score`: palette masks whose index 0 is white")
def palette(desk: Desk) -> Ended:
    return score(desk, white_first)


@given("`score --palette colour`: palette masks whose index 0 is white")
def by_colour(desk: Desk) -> Ended:
    return score(desk, white_first, "--palette", "colour")


@given("`score`: `000000.PNG`")
def capitals(desk: Desk) -> Ended:
    return score(desk, lambda mask, path: save(mask, path.with_suffix(".PNG")))


@given("`score --fold 9` of a dataset with two folds")
def no_fold(desk: Desk) -> Ended:
    tiny_dataset(desk.place / "data", shots=(1,))
    (desk.place / "masks").mkdir()
    return desk.bench(
        *("score", desk.place / "masks", "-d", "tiny", "--fold", 9, "--shots", 1, "--name", "m")
    )
