"""The crops of PACO-Part and the folds that are made of them."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from datasets_prep.builder import Areas, Workspace
from datasets_prep.datasets.parts.cut import Thing, crop_id, crop_records
from datasets_prep.datasets.parts.lists import part_folds
from datasets_prep.datasets.parts.sheet import Sheet
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Crops, FoldSet, interleaved
from datasets_prep.prepared.records import ImageRecord
from datasets_prep.runtime.parallel import ordered_results

FOLDS = 4
FIXED_LEAST = 6  # images of a class, so that it can be tested with five supports


@dataclass(frozen=True)
class Item:
    """One image and its objects, to be cut in a process of its own."""

    image_id: str
    image: Path
    things: tuple[Thing, ...]


def records(
    sheet: Sheet, folders: Mapping[str, Path], workspace: Workspace
) -> Iterator[ImageRecord]:
    """The crops of all images, in order.

    Args:
        sheet: what is annotated.
        folders: where the images of each of COCO's folders lie.
        workspace: how many processes, and who judges what is wrong.

    Raises:
        DatasetError: naming every file that is wrong.
    """
    items = [
        Item(image, folders[Path(file).parent.name] / Path(file).name, tuple(sheet.things[image]))
        for image, file in sheet.files.items()
    ]
    return chain.from_iterable(ordered_results(cut_item, items, workspace.jobs, workspace.faults))


def cut_item(item: Item) -> list[ImageRecord]:
    """The crops of an image.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    try:
        return crop_records(item.image, item.image_id, item.things)
    except ValueError as error:
        raise DatasetError(f"{item.image}: its annotation of {error}") from None


def crops_of(sheet: Sheet, areas: Areas, left_out: Container[str]) -> dict[int, Crops]:
    """By class the images that show it, each as the crops of the objects with that part.

    Args:
        sheet: what is annotated.
        areas: pixels of each class, by crop.
        left_out: images that are not there.
    """
    found: dict[int, Crops] = {}
    for index, images in sorted(sheet.listed.items()):
        named = [
            [crop_id(image, number) for number in numbers]
            for image, numbers in images.items()
            if image not in left_out
        ]
        found[index] = tuple(tuple(c if c in areas else None for c in crops) for crops in named)
    return found


def make_folds(
    crops: Mapping[int, Crops],
    areas: Areas,
    classes: int,
    lists: str,
    least_images: int | None,
    shots: Sequence[int],
    episodes: int,
) -> FoldSet:
    """Fold f tests the classes f, f+4, f+8, ... that enough images show.

    As in Matcher, classes that are left over when their number is divided by four are in no fold.

    Args:
        crops: by class, the crops of each image.
        areas: pixels of each class, by crop.
        classes: their number.
        lists: where the lists are from.
        least_images: that are enough; None for one more than an episode has supports.
        shots: numbers of supports for which there are to be lists.
        episodes: the published number a fold.
    """
    shown = {
        index: sum(any(crop and index in areas[crop] for crop in image) for image in images)
        for index, images in crops.items()
    }

    def folds(least: int) -> FoldSet:
        drawn = [
            {index: crops[index] for index in novel if shown.get(index, 0) >= least}
            for novel in interleaved(classes - classes % FOLDS, FOLDS)
        ]
        return part_folds(drawn, areas, query_order="draw", episodes=episodes, lists=lists)

    if least_images is not None:
        return folds(least_images)
    of_shots = {count: folds(count + 1).folds for count in sorted(shots) if count > 1}
    return replace(folds(2), of_shots=of_shots)
