"""Folders as `bench prepare` gets them: what is passed over, what is shifted or not there."""

from pathlib import Path

import numpy as np
from PIL import Image

from datasets_prep.prepared.dataset import PreparedDataset
from tests.bad_input.given import Desk, Ended, given
from tests.bad_input.machines import folder
from tests.datasets_prep.folders import label_map, photo

CLASSES = ("cat", "dog", "fox", "owl")


def as_without(desk: Desk, ended: Ended) -> Ended:
    """How it ended, if what was prepared is what the plain pictures hold."""
    dataset = PreparedDataset(desk.place / "data", "mine")
    for index in range(12):
        assert np.array_equal(np.asarray(dataset.image(f"{index:02d}")), photo(index))
        assert (dataset.mask(f"{index:02d}", 0) == 1).sum() == (label_map(index) == 1).sum()
    return ended


@given("`prepare folder`: TIFFs of several pages")
def pages(desk: Desk) -> Ended:
    def save(image: Image.Image, path: Path) -> None:
        other = Image.new(image.mode, image.size, "white")
        image.save(path.with_suffix(".tif"), save_all=True, append_images=[other])

    return as_without(desk, folder(desk, *CLASSES, save=save))


@given("`prepare folder`: images with an alpha channel")
def alpha(desk: Desk) -> Ended:
    def save(image: Image.Image, path: Path) -> None:
        if image.mode == "RGB":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)

    return as_without(desk, folder(desk, *CLASSES, save=save))


@given("`prepare folder`: labels that count from 0, without `--no-background`")
def from_zero(desk: Desk) -> Ended:
    def save(image: Image.Image, path: Path) -> None:
        lower = [0, *range(254), 255]  # all labels but the first and the ignored are one less
        (image.point(lower) if image.mode == "L" else image).save(path)

    return folder(desk, *CLASSES, save=save)


@given("`prepare pascal --from`: a link to nothing in the place of an archive")
def dangling(desk: Desk) -> Ended:
    (desk.place / "given").mkdir()
    (desk.place / "given/VOCtrainval_11-May-2012.tar").symlink_to("nowhere")
    return desk.bench("prepare", "pascal", "--from", desk.place / "given")
