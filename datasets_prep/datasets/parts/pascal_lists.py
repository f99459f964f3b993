"""What Pascal-Part tests: its classes, the images of each, and the folds that come of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from datasets_prep.builder import Areas, Workspace
from datasets_prep.datasets.parts.cut import crop_id, crop_records
from datasets_prep.datasets.parts.lists import part_folds
from datasets_prep.datasets.parts.merged import SUPERCLASSES, class_name
from datasets_prep.datasets.parts.pascal_files import (
    Classes,
    Reader,
    read_json_things,
    read_lists,
    read_mat_things,
)
from datasets_prep.errors import DatasetError, refuse
from datasets_prep.prepared.faults import Fault
from datasets_prep.prepared.folds import Crops, FoldSet
from datasets_prep.prepared.records import ImageRecord
from datasets_prep.runtime.parallel import ordered_results


@dataclass(frozen=True)
class Listed:
    """The classes of each fold, and what tells their test images.

    Attributes:
        folds: per class name its test images in order; None where the annotations tell them.
        images: every test image, in order.
        suffix: of the annotation files.
        read: reads one of them.
    """

    folds: Sequence[Mapping[str, tuple[str, ...] | None]]
    images: tuple[str, ...]
    suffix: str
    read: Reader


@dataclass(frozen=True)
class Item:
    """One image and its annotation, to be cut in a process of its own."""

    image_id: str
    image: Path
    annotation: Path
    classes: Classes
    read: Reader


class Shown(NamedTuple):
    """An object of an image: the id of its crop, if it has one, its name and its parts' classes."""

    crop: str
    name: str
    classes: frozenset[int]


def derived(voc: Path, folder: Path, workspace: Workspace) -> Listed:
    """The merged classes that a training image shows, and all of VOC's val images.

    Args:
        voc: VOC 2010's folder.
        folder: of the MATLAB files.
        workspace: judges what is wrong.

    Raises:
        DatasetError: if a list of VOC's is missing, or a file is wrong.
    """
    named = {
        superclass: [class_name(thing, part) for thing, parts in things.items() for part in parts]
        for superclass, things in SUPERCLASSES.items()
    }
    every = {name: index for index, name in enumerate(chain(*named.values()))}
    shown: set[int] = set()
    wrong = []
    trained = _ids(voc, "train")
    for image in trained:
        if len(shown) == len(every):
            break
        path = folder / f"{image}.mat"
        try:
            shown.update(
                index for thing in read_mat_things(path, every) for index, _ in thing.parts
            )
        except DatasetError as error:
            wrong.append(Fault(image, str(error)))
    workspace.faults.settle("these files are wrong:", wrong, trained)
    folds = [{name: None for name in names if every[name] in shown} for names in named.values()]
    return Listed(folds, tuple(_ids(voc, "val")), ".mat", read_mat_things)


def matched(path: Path) -> Listed:
    """The classes and images of Matcher's list file.

    Raises:
        DatasetError: naming the file, if it is no such list.
    """
    folds = read_lists(path)
    images = sorted({image for fold in folds for found in fold.values() for image in found})
    return Listed(folds, tuple(images), ".json", read_json_things)


def plan(
    voc: Path, folder: Path, listed: Listed, workspace: Workspace
) -> tuple[dict[str, int], list[Item]]:
    """Class indices by name, fold by fold, and what is to be cut.

    Raises:
        DatasetError: naming the files that are missing.
    """
    names = [name for fold in listed.folds for name in fold]
    classes = {name: index for index, name in enumerate(names)}
    items = [
        Item(
            image_id=image,
            image=voc / "JPEGImages" / f"{image}.jpg",
            annotation=folder / f"{image}{listed.suffix}",
            classes=classes,
            read=listed.read,
        )
        for image in listed.images
    ]
    missing = [
        Fault(item.image_id, f"{path} is missing")
        for item in items
        for path in (item.image, item.annotation)
        if not path.is_file()
    ]
    workspace.faults.settle("these files are missing:", missing, listed.images)
    gone = {fault.name for fault in missing}
    return classes, [item for item in items if item.image_id not in gone]


def records(
    items: Sequence[Item], workspace: Workspace, shown: dict[str, tuple[Shown, ...]]
) -> Iterator[ImageRecord]:
    """The crops of all images, in order.

    Args:
        items: the images.
        workspace: how many processes, and who judges what is wrong.
        shown: receives the objects of every image, in the order of its annotation.

    Raises:
        DatasetError: naming every file that is wrong.
    """
    for image_id, objects, crops in ordered_results(
        cut_item, items, workspace.jobs, workspace.faults
    ):
        shown[image_id] = objects
        yield from crops


def cut_item(item: Item) -> tuple[str, tuple[Shown, ...], list[ImageRecord]]:
    """An image's id, its objects and their crops.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    try:
        things = item.read(item.annotation, item.classes)
        crops = crop_records(item.image, item.image_id, things)
    except ValueError as error:
        raise DatasetError(f"{item.annotation}: {error}") from None
    objects = [
        Shown(
            crop_id(item.image_id, thing.number), thing.name, frozenset(i for i, _ in thing.parts)
        )
        for thing in things
    ]
    return item.image_id, tuple(objects), crops


def make_folds(
    name: str,
    listed: Listed,
    classes: Classes,
    shown: Mapping[str, tuple[Shown, ...]],
    areas: Areas,
    episodes: int,
) -> FoldSet:
    """A fold for each superclass; a class without test images is in none.

    Args:
        name: of the lists.
        listed: the classes and what tells their images.
        classes: class indices.
        shown: the objects of every test image.
        areas: pixels of each class, by crop.
        episodes: the published number a fold, at most.

    Raises:
        DatasetError: if a list names images that have no such object.
    """
    drawn: list[dict[int, Crops]] = []
    wrong: list[str] = []
    for fold in listed.folds:
        drawn.append({})
        for label, images in fold.items():
            index, thing = classes[label], label.partition("+")[0]
            wanted = _showing(index, shown) if images is None else images
            alike = {i: [o for o in shown[i] if o.name == thing] for i in wanted if i in shown}
            wrong += [f"{image} for {label}" for image, objects in alike.items() if not objects]
            if alike:
                crops = (_crops(objects, index, areas) for objects in alike.values())
                drawn[-1][index] = tuple(crops)
    refuse("images are listed for a class whose object their annotation lacks:", wrong)
    return part_folds(drawn, areas, query_order="cycle", episodes=episodes, lists=name)


def _showing(index: int, shown: Mapping[str, tuple[Shown, ...]]) -> list[str]:
    """The images in which an object has a part of the class."""
    return [i for i, objects in shown.items() if any(index in o.classes for o in objects)]


def _crops(objects: Sequence[Shown], index: int, areas: Areas) -> tuple[str | None, ...]:
    """The objects' crops; None where one lacks the part or has no crop."""
    return tuple(o.crop if index in o.classes and o.crop in areas else None for o in objects)


def _ids(voc: Path, part: str) -> list[str]:
    path = voc / "ImageSets" / "Main" / f"{part}.txt"
    try:
        return sorted(path.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read VOC's list {path}: {error}") from None
