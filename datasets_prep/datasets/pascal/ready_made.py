"""A ready-made SegmentationClassAug: what tells it from VOC's own maps and from the known set."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.datasets.pascal.masks import read_voc
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, open_image
from datasets_prep.prepared.records import IGNORE, labels_sha256
from datasets_prep.runtime.parallel import ordered_map

_SHORT = 8  # hexadecimal digits of a map's hash that tell one map from another


@dataclass(frozen=True)
class Known:
    """The set that passes by this name, read from `known_maps.json`.

    Attributes:
        digest: over all maps, as `digest` makes it.
        maps: the first digits of each map's hash, by image id.
    """

    digest: str
    maps: Mapping[str, str]


@dataclass(frozen=True)
class Map:
    """One label map: its image, size, pixels and kind of file."""

    image_id: str
    size: str
    sha256: str
    mode: str
    void: bool


@dataclass(frozen=True)
class MapSet:
    """Label maps by image id."""

    maps: tuple[Map, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Map]:
        """Each map by its image."""
        return {each.image_id: each for each in self.maps}

    @property
    def digest(self) -> str:
        """sha256 over image, size and pixels of every map, by image id."""
        lines = (f"{m.image_id}\t{m.size}\t{m.sha256}\n" for m in self.maps)
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def look(path: Path) -> Map | str:
    """Read one label map; what is wrong, if anything is."""
    try:
        labels = read_voc(path)
        with open_image(path) as image:
            mode = image.mode
    except (DatasetError, *UNREADABLE) as error:
        return str(error)
    size = f"{labels.shape[1]}x{labels.shape[0]}"
    return Map(path.stem, size, labels_sha256(labels), mode, bool((labels == IGNORE).any()))


def read_known(path: Path) -> Known:
    """Read the known set from the package."""
    return Known(**json.loads(path.read_text(encoding="utf-8")))


def examined(
    folder: Path, own: Path | None, voc: Collection[str], known: Path, workspace: Workspace
) -> list[str]:
    """What a user should know of a ready-made set; warnings are said to the progress too.

    Args:
        folder: the set's PNGs.
        own: the folder of VOC's own maps, which then go before; None where it is not at hand.
        voc: the images that VOC annotates.
        known: the package's `known_maps.json`.
        workspace: jobs and progress.
    """
    title = folder.name
    maps = _read(sorted(folder.glob("*.png")), f"maps of {title}", workspace)
    paths = [] if own is None else [own / f"{image}.png" for image in sorted(voc)]
    theirs = _read([path for path in paths if path.is_file()], "maps of VOC", workspace)
    files = Counter("grey" if each.mode == "L" else "palette" for each in maps.maps)
    kinds = " and ".join(f"{count:,} {kind}" for kind, count in sorted(files.items()))
    notes = []
    warnings = list(_strange(maps, theirs, read_known(known)))
    if warnings:
        warnings = [f"{title}: {kinds} PNGs, {'; '.join(warnings)}"]
    else:
        notes.append(f"{title}: {kinds} PNGs, all as in the known set")
    void = _void(maps, voc)
    if void:
        use = "VOC's own are used" if theirs.maps else "their void counts as background"
        warnings.append(
            f"{title}: {void:,} of the {len(voc):,} maps that are VOC's have no 255: void is 0 in "
            f"them, a known fault of some copies; {use}"
        )
    for warning in warnings:
        workspace.progress.note(f"warning: {warning}")
    return [*notes, *warnings]


def _read(paths: Sequence[Path], what: str, workspace: Workspace) -> MapSet:
    """Look at every map; one that cannot be read is reported where it is used, not here."""
    found = []
    for done, each in enumerate(ordered_map(look, paths, workspace.jobs), start=1):
        workspace.progress.update(what, done, len(paths))
        if isinstance(each, Map):
            found.append(each)
    return MapSet(tuple(found))


def _strange(maps: MapSet, voc: MapSet, known: Known) -> Iterable[str]:
    """How the set differs from the known one and from VOC's own maps; nothing if it does not."""
    if maps.digest != known.digest:
        differ = sum(
            known.maps.get(each.image_id, each.sha256)[:_SHORT] != each.sha256[:_SHORT]
            for each in maps.maps
        )
        missing = len(known.maps.keys() - maps.by_id.keys())
        extra = len(maps.by_id.keys() - known.maps.keys())
        yield (
            f"not the known set: {differ:,} differ from it, {missing:,} of its {len(known.maps):,} "
            f"are missing, {extra:,} are not in it"
        )
    both = [(each, maps.by_id[each.image_id]) for each in voc.maps if each.image_id in maps.by_id]
    differ = sum(mine.sha256 != theirs.sha256 for theirs, mine in both)
    if differ:
        yield f"{differ:,} of {len(both):,} differ from VOC's own"
    elif not voc.maps and maps.digest != known.digest:
        yield "VOC's own maps are not at hand to compare with"


def _void(maps: MapSet, voc: Collection[str]) -> int:
    """How many of the maps that are VOC's hold no void; in VOC's own each does."""
    return sum(not each.void for each in maps.maps if each.image_id in voc)
