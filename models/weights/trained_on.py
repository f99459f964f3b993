"""What a checkpoint was trained on: read from wherever its weights say it, and what follows.

Knowledge follows the weights: it stands in the header of the file that holds them, in a training
record beside them, or in the name of the file, folder or hub repository that they came in. What
lies beside another part of the model says nothing of them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelError
from models.weights.local import local

RECORD = "training.json"
HEADER = "trained_on"  # in the metadata of a safetensors file

# The folds of these are those of another dataset's: no model is trained on them.
SAME_FOLDS: Mapping[str, str] = {"coco2pascal": "coco"}

# Folders `coco_fold0` are what the authors of DiffewS release; names of other datasets that are
# split into folds are understood alike, and nothing else, for folders have any name.
_SPLIT = ("coco", "fss1000", "isaid", "lvis", "paco-part", "pascal", "pascal-part", "shapes")
# The authors of Label Anything release hub ids, and users folders named after them.
_FOLDERS = (
    re.compile(rf"(?P<dataset>{'|'.join(_SPLIT)})_fold(?P<fold>\d{{1,3}})"),
    re.compile(r"label_anything_(?P<dataset>coco)_fold(?P<fold>\d)_\w+"),
)
_GENERAL: Mapping[str, tuple[str, ...]] = {
    "incontext": ("coco", "ade20k", "pascal"),
    "label_anything_mae_480_coco": ("coco",),
}
_HUB_ID = re.compile(r"[\w.-]+/(?P<name>[\w.-]+)(@[\w./-]+)?")
# Files `adapter_coco_fold0.pth` are what the authors of SANSA release; FSS-1000 has one split.
_FILE = re.compile(r"adapter_(?P<dataset>coco|lvis|fss)(_fold(?P<fold>\d{1,3}))?")
_CALLED: Mapping[str, str] = {"fss": "fss1000"}
_GENERAL_FILES: Mapping[str, tuple[str, ...]] = {
    "adapter_generalist": ("coco", "ade20k", "lvis", "paco-part")
}
_PARTS = (
    "unet",
    "image_encoder",
)  # folders of a part, inside the folder that bears the name and the record
_ABOVE = 2  # folders above the checkpoint's own whose names are read: best/ in coco_fold0/
_NAME = re.compile(r"[a-z0-9][\w.-]*")


@dataclass(frozen=True)
class TrainedOn:
    """One dataset whose masks a checkpoint was trained on.

    Attributes:
        dataset: its name in the suite.
        fold: the one whose base classes it saw; None if it saw all classes.
        source: who says so, such as "folder name coco_fold0".
    """

    dataset: str
    fold: int | None
    source: str

    def __str__(self) -> str:
        """As in "fold 0 of coco (folder name coco_fold0)"."""
        what = "all classes" if self.fold is None else f"fold {self.fold}"
        return f"{what} of {self.dataset} ({self.source})"


def parse(text: str, source: str = "--trained-on") -> TrainedOn:
    """`coco:0` for the base classes of a fold, `coco` for all classes.

    Raises:
        ModelError: for anything else.
    """
    dataset, colon, fold = text.strip().partition(":")
    if not _NAME.fullmatch(dataset) or (colon and not re.fullmatch(r"\d{1,3}", fold)):
        raise ModelError(f"{source} {text!r}: expected DATASET:FOLD such as coco:0, or DATASET")
    return TrainedOn(dataset, int(fold) if colon else None, source)


def told(weights: Path) -> tuple[TrainedOn, ...]:
    """All that a checkpoint says of its training.

    Args:
        weights: the file of the weights, or their folder.

    Returns:
        One entry a dataset, by the first source that names it: the file's header, the training
        record, the file's name, the folder's name. Empty where nothing is said.

    Raises:
        ModelError: if two sources disagree, or a record cannot be read.
    """
    weights = weights.expanduser()
    files = [weights] if weights.is_file() else sorted(weights.glob("*.safetensors"))
    places = _places(weights.parent if weights.is_file() else weights)
    entries = [entry for file in files for entry in _in_header(file)]
    for place in places:
        if body := _record(place / RECORD):
            entries += of_record(body, RECORD)
    if weights.is_file():
        entries += _in_filename(weights)
    for name in (place.name for place in [places[-1], *places[-1].parents][: _ABOVE + 1]):
        entries += _in_name(name)
    return united(entries)


def told_by(options: Mapping[str, Any]) -> tuple[TrainedOn, ...]:
    """All that the files and hub ids say which a model's options name.

    Raises:
        ModelError: see `told`.
    """
    named = [v for k, v in options.items() if isinstance(v, str) and k != "random"]
    return united(entry for name in named for entry in _told_of(name))


def united(entries: Iterable[TrainedOn]) -> tuple[TrainedOn, ...]:
    """One entry a dataset, the first.

    Raises:
        ModelError: naming two sources that disagree.
    """
    found: dict[str, TrainedOn] = {}
    for entry in entries:
        first = found.setdefault(entry.dataset, entry)
        if first.fold != entry.fold:
            raise ModelError(
                f"it is not clear what this checkpoint was trained on: {first}, but {entry}; "
                f"correct the one that is wrong"
            )
    return tuple(found.values())


def fold_of(entries: Iterable[TrainedOn], dataset: str) -> int | None:
    """The only fold of `dataset` whose novel classes the weights have not seen; None for any."""
    wanted = SAME_FOLDS.get(dataset, dataset)
    return next((entry.fold for entry in entries if entry.dataset == wanted), None)


def sees(entries: Sequence[TrainedOn], dataset: str) -> str:
    """Whether training saw masks of the test classes of the fold that `fold_of` names.

    Returns:
        "no" if a fold of this dataset is all that it saw, "yes" if it saw all classes, and else
        "unknown": classes of other datasets may be the tested ones.
    """
    wanted = SAME_FOLDS.get(dataset, dataset)
    own = [entry for entry in entries if entry.dataset == wanted]
    if any(entry.fold is None for entry in own):
        return "yes"
    return "no" if own and len(entries) == len(own) else "unknown"


def header(entries: Sequence[TrainedOn]) -> Mapping[str, str]:
    """The metadata of a safetensors file that says it; empty where nothing is known."""
    if not entries:
        return {}
    return {HEADER: json.dumps([{"dataset": e.dataset, "fold": e.fold} for e in entries])}


def of_record(record: Mapping[str, Any], source: str) -> tuple[TrainedOn, ...]:
    """What a training record says: `dataset` and `fold`, and folds of those `earlier`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if it is no training record.
    """
    folds = {record["dataset"]: record["fold"], **record.get("earlier", {})}
    return tuple(TrainedOn(*_checked(name, fold), source) for name, fold in folds.items())


def _told_of(name: str) -> Iterable[TrainedOn]:
    if (place := local(name)) is not None:
        return told(place)
    match = _HUB_ID.fullmatch(name)
    return _in_name(match["name"], "hub id") if match else ()


def _in_header(path: Path) -> Iterator[TrainedOn]:
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(HEADER)
    except (OSError, SafetensorError):
        return  # whoever loads the weights says what is wrong with the file
    if text is None:
        return
    try:
        for entry in json.loads(text):
            yield TrainedOn(*_checked(entry["dataset"], entry["fold"]), f"header of {path.name}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"cannot read the {HEADER} in the header of {path}: {error!r}") from None


def _places(folder: Path) -> list[Path]:
    """The folder of some weights, and that of the checkpoint which it is a part of."""
    places = [folder.expanduser().absolute()]
    while places[-1].name in _PARTS:
        places.append(places[-1].parent)
    return places


def record_of(folder: Path) -> Mapping[str, Any]:
    """The training record of the weights in a folder; empty where there is none.

    Raises:
        ModelError: if it cannot be read.
    """
    return next((body for place in _places(folder) if (body := _record(place / RECORD))), {})


def _record(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        body: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
        of_record(body, RECORD)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"cannot read {path}: {error!r}; fetch the checkpoint again") from None
    return body


def _in_filename(path: Path) -> Iterator[TrainedOn]:
    source = f"file name {path.name}"
    if (match := _FILE.fullmatch(path.stem)) and (match["fold"] or match["dataset"] == "fss"):
        dataset = _CALLED.get(match["dataset"], match["dataset"])
        yield TrainedOn(dataset, int(match["fold"] or 0), source)
    for dataset in _GENERAL_FILES.get(path.stem, ()):
        yield TrainedOn(dataset, None, source)


def _in_name(name: str, kind: str = "folder name") -> Iterator[TrainedOn]:
    source = f"{kind} {name}"
    for match in filter(None, (pattern.fullmatch(name) for pattern in _FOLDERS)):
        yield TrainedOn(match["dataset"], int(match["fold"]), source)
    for dataset in _GENERAL.get(name, ()):
        yield TrainedOn(dataset, None, source)


def _checked(dataset: object, fold: object) -> tuple[str, int | None]:
    if not isinstance(dataset, str) or not _NAME.fullmatch(dataset):
        raise ValueError(f"{dataset!r} is no dataset's name")
    if fold is None:
        return dataset, None
    if isinstance(fold, bool) or not isinstance(fold, int | str):
        raise TypeError(f"{fold!r} is no fold")
    return dataset, int(fold)
