"""What lies in a user's folder: which file is whose label, and what is missing."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from datasets_prep.datasets.folder.legend import BESIDE
from datasets_prep.datasets.folder.outlines import Outlines
from datasets_prep.datasets.folder.pairing import paired, shared_suffix
from datasets_prep.episodes.episode import storable
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults, passable
from datasets_prep.runtime.walk import files_below

IMAGE_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
LABEL_TYPES = (".png", ".bmp", ".tif", ".tiff")
MASK_TYPES = (*LABEL_TYPES, ".jpg", ".jpeg")
# What Windows, macOS and network drives leave among files.
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", *BESIDE}
_LITTER_ENDS = ":zone.identifier"
_LITTER_FOLDERS = {"@eadir", "__macosx"}
_INSTEAD = {
    ".json": "; outlines in JSON: --labelme, or COCO's with --coco FILE",
    ".txt": "; outlines of YOLO: export COCO's JSON, for --coco FILE",
    ".xml": "; outlines in XML: export COCO's JSON, for --coco FILE",
}
_OF_A_TASK = re.compile(r"task-\d+-annotation-\d+-")
_SHOWN = 10
_TWO_OF_A_NAME = "two files of one name"


class Problem(NamedTuple):
    """Something wrong with one file: its kind, shared by many, and what to know of this one.

    Where something can be left out for it, `name` says what: an image's id, or a file.
    """

    kind: str
    detail: str
    name: str = ""


@dataclass(frozen=True)
class Entry:
    """One image with its labels.

    Attributes:
        image_id: the image's path below `images/`, without its suffix, with `/` between folders.
        image: its file.
        labels: its label map, where the folder has label maps.
        masks: (class index, file) of its masks, where the folder has a mask per class.
        outlines: of its objects, where a JSON file has them.
    """

    image_id: str
    image: Path
    labels: Path | None = None
    masks: tuple[tuple[int, Path], ...] = ()
    outlines: Outlines | None = None


def has_masks(folder: Path) -> bool:
    """Whether a dataset folder holds `masks/CLASS/` rather than `labels/`.

    Raises:
        DatasetError: if it holds neither or both, or no `images/`.
    """
    if not (folder / "images").is_dir():
        raise DatasetError(f"{folder} has no folder `images`{_there(folder)}")
    labels, masks = (folder / "labels").is_dir(), (folder / "masks").is_dir()
    if labels == masks:
        raise DatasetError(
            f"{folder} has {'both `labels` and' if labels else 'neither `labels` nor'} `masks`: "
            "it needs one of the two, labels/NAME.png or masks/CLASS/NAME.png, or --coco FILE or "
            "--labelme if outlines are in JSON"
        )
    return masks


def _there(folder: Path) -> str:
    """What a folder holds instead, as other tools call it or one level below."""
    below = sorted(path.name for path in folder.glob("*/") if not _is_litter(Path(path.name)))
    inner = next((name for name in below if (folder / name / "images").is_dir()), None)
    if inner is not None:
        return f"; {folder / inner} has: give that"
    if not below:
        return ""
    return (
        f", but {', '.join(below[:_SHOWN])}: name what holds the images `images`, label maps "
        "`labels`, masks `masks/CLASS`"
    )


def _is_litter(inside: Path) -> bool:
    *folders, name = (part.lower() for part in inside.parts)
    return (
        name in _LITTER
        or name.endswith(_LITTER_ENDS)
        or any(part.startswith(".") for part in (*folders, name))
        or not _LITTER_FOLDERS.isdisjoint((*folders, name))
    )


def mask_classes(folder: Path) -> tuple[str, ...]:
    """The classes that `masks/` has folders for, sorted."""
    folders = (path for path in (folder / "masks").iterdir() if path.is_dir())
    return tuple(sorted(path.name for path in folders if not _is_litter(Path(path.name))))


def find_labelled(folder: Path, suffix: str = "") -> tuple[list[Entry], list[Problem]]:
    """Images with label maps, sorted by id, and what is wrong with the files' names."""
    images, problems = files(folder / "images", IMAGE_TYPES)
    labels, more = _of_images(images, folder / "labels", LABEL_TYPES, suffix)
    problems += more
    problems += _renamed(folder / "labels", images, labels)
    problems += _unpaired(images, labels, "no label map", f"labels/NAME{LABEL_TYPES[0]}")
    problems += [
        Problem("label map without an image", str(path), path.relative_to(folder).as_posix())
        for name, path in labels.items()
        if name not in images
    ]
    entries = [
        Entry(name, path, labels=labels[name]) for name, path in images.items() if name in labels
    ]
    return entries, problems


def find_masked(
    folder: Path, classes: Sequence[str], suffix: str = ""
) -> tuple[list[Entry], list[Problem]]:
    """Images with masks of these classes, sorted by id, and what is wrong with the files' names.

    A class without a mask for an image is absent from it; an image without any mask is a problem.
    """
    images, problems = files(folder / "images", IMAGE_TYPES)
    there = mask_classes(folder)
    problems += [
        Problem("folder of a class that is not in --classes", str(folder / "masks" / name))
        for name in there
        if name not in classes
    ]
    masks: dict[str, list[tuple[int, Path]]] = {}
    for index, name in enumerate(classes):
        if name not in there:
            problems.append(Problem("class without a folder", str(folder / "masks" / name)))
            continue
        held, more = _of_images(images, folder / "masks" / name, MASK_TYPES, suffix)
        problems += more
        problems += _renamed(folder / "masks" / name, images, held)
        for image, path in held.items():
            masks.setdefault(image, []).append((index, path))
            if image not in images:
                left_out = path.relative_to(folder).as_posix()
                problems.append(Problem("mask without an image", str(path), left_out))
    problems += _unpaired(images, masks, "no mask of any class", "masks/CLASS/NAME.png")
    return [
        Entry(name, path, masks=tuple(masks[name]))
        for name, path in images.items()
        if name in masks
    ], problems


def refuse_all(
    folder: Path,
    problems: Sequence[Problem],
    faults: Faults | None = None,
    names: Collection[str] = (),
) -> None:
    """Raise one DatasetError about all problems, by kind, with the first names of each.

    Of those that can be left out, `faults` may remember the names instead. Of `names`, the
    images with labels, the message says how many would remain.
    """
    if faults is not None and faults.skip:
        found = (Fault(p.name, f"{p.kind}: {p.detail}") for p in problems if p.name)
        faults.settle("", found, names)
        problems = [problem for problem in problems if not problem.name]
    if not problems:
        return
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem.detail)
    lines = [f"{folder}: {len(problems):,} problems, nothing was prepared"]
    for kind, details in kinds.items():
        lines.append(f"  {kind} ({len(details):,}):")
        lines += [f"    {detail}" for detail in details[:_SHOWN]]
        if len(details) > _SHOWN:
            lines.append(f"    ... and {len(details) - _SHOWN:,} more")
    wrong = {problem.name for problem in problems}
    if "" not in wrong and (mend := passable(names, wrong)):
        lines.append(f"  {mend}")
    raise DatasetError("\n".join(lines))


def _renamed(place: Path, images: Iterable[str], others: Collection[str]) -> Iterator[Problem]:
    if suffix := shared_suffix(images, others):
        yield Problem(f"names that all end alike: give --mask-suffix {suffix}", str(place))
    elif any(_OF_A_TASK.match(name) for name in others):
        kind = "names of Label Studio's tasks, not of images: export COCO's JSON, for --coco FILE"
        yield Problem(kind, str(place))


def _of_images(
    images: Iterable[str], top: Path, types: Sequence[str], suffix: str
) -> tuple[dict[str, Path], list[Problem]]:
    """The label files below `top` by the names of their images, and what is wrong with theirs."""
    named, problems = files(top, types)
    held = paired(images, named, suffix)
    owner = {path: image for image, path in held.items()}
    # A problem with the name of a label file is its image's.
    problems = [p._replace(name=owner.get(named.get(p.name, top), p.name)) for p in problems]
    for name, path in named.items():
        if path not in owner:
            other = named[name + suffix]
            problems.append(Problem(_TWO_OF_A_NAME, f"{path} and {other}", owner[other]))
    return held, problems


def _unpaired(
    images: Mapping[str, Path], others: Iterable[str], kind: str, expected: str
) -> list[Problem]:
    have = set(others)
    return [
        Problem(f"{kind} ({expected})", str(path), name)
        for name, path in images.items()
        if name not in have
    ]


def files(
    top: Path, types: Sequence[str], over: Sequence[str] = ()
) -> tuple[dict[str, Path], list[Problem]]:
    """Files below `top` by id, sorted; hidden files are passed over, and those of types `over`."""
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(files_below(top)):
        inside = path.relative_to(top)
        if path.suffix.lower() in over or _is_litter(inside):
            continue
        name = inside.with_suffix("").as_posix()
        if not path.is_file():
            kind = "link to a folder that holds it" if path.is_dir() else "link to nothing"
            problems.append(Problem(kind, str(path), f"{top.name}/{inside.as_posix()}"))
            continue
        if path.suffix.lower() not in types:
            left_out = f"{top.name}/{inside.as_posix()}"
            instead = _INSTEAD.get(path.suffix.lower(), "") if top.name == "labels" else ""
            kind = f"not one of {', '.join(types)}{instead}"
            problems.append(Problem(kind, str(path), left_out))
        elif not storable(name):
            kind = "comma or control character in the name"
            problems.append(Problem(kind, repr(str(path)), repr(name)))
        elif name in found:
            problems.append(Problem(_TWO_OF_A_NAME, f"{found[name]} and {path}", name))
        else:
            found[name] = path
    return dict(sorted(found.items())), problems
