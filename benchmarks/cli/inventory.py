"""What datasets there are: prepared, what they lack, and what preparing the others takes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.protocols.catalog import PROTOCOLS
from datasets_prep.archives.sources import plan
from datasets_prep.builder import Builder
from datasets_prep.catalog import DATASETS, GROUPS
from datasets_prep.episodes.published import list_name
from datasets_prep.episodes.recipes import USUAL
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset, prepare_command
from models.registry import Registry

SHOTS = (1, 5)  # of which lists are expected


def inventory(data_root: Path) -> list[dict[str, Any]]:
    """One entry a dataset, the prepared ones first: plain values, ready for JSON.

    All have `dataset`, `prepared`, `bytes` (on disk) and `missing` (one line each, with the
    command that mends it); what else there is depends on `prepared`.
    """
    found = [_found(data_root, p.parent.name) for p in sorted(data_root.glob("*/manifest.json"))]
    there = {entry["dataset"] for entry in found}
    if any(entry["prepared"] and entry["builder"].get("name") == "folder" for entry in found):
        there.add("folder")
    return found + [_absent(data_root, name) for name in DATASETS if name not in there]


def group_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What each group of datasets stands for, and how many of them are prepared."""
    ready = {entry["dataset"] for entry in entries if entry["prepared"]}
    for group, members in GROUPS.items():
        have = len(ready.intersection(members))
        yield f"{group} stands for {', '.join(members)}: {have} of {len(members)} are prepared"


def disk_usage(folder: Path) -> int:
    """Bytes of all files below a folder; links count as links."""
    return sum(
        (Path(place) / name).lstat().st_size
        for place, _, names in os.walk(folder)
        for name in names
    )


def _found(data_root: Path, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"dataset": name, "bytes": disk_usage(data_root / name)}
    try:
        dataset = PreparedDataset(data_root, name)
    except DatasetError as error:
        return {**entry, "prepared": False, "missing": [str(error)]}
    manifest = dataset.manifest
    counts = manifest["counts"]
    return {
        **entry,
        "prepared": True,
        "builder": manifest["builder"],
        "images": counts["images"],
        "classes": counts["classes"],
        "folds": counts["folds"],
        "lists": manifest["lists"],
        "episode_lists": sorted(manifest["episodes"]),
        "protocols": _protocols(manifest),
        "digest": manifest["digest"],
        "notes": manifest["notes"],
        "missing": list(_missing(dataset)),
    }


def _protocols(manifest: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shots of which a protocol has the list of every fold, by protocol."""
    folds, listed = _folds(manifest), manifest["episodes"]
    known = sorted({int(name.rpartition("_")[2].removesuffix("shot")) for name in listed})
    whole = {
        protocol.name: [
            shots
            for shots in known
            if all(f"{protocol.recipe}/{list_name(fold, shots)}" in listed for fold in folds)
        ]
        for protocol in PROTOCOLS.values()
    }
    return {name: shots for name, shots in whole.items() if shots}


def _folds(manifest: Mapping[str, Any]) -> Sequence[int]:
    """The folds that have lists; what is prepared in part may begin after 0."""
    named = {int(name.partition("/fold")[2].partition("_")[0]) for name in manifest["episodes"]}
    count = manifest["counts"]["folds"]
    return sorted(named) if len(named) == count else range(count)


def _missing(dataset: PreparedDataset) -> Iterator[str]:
    """Files that are gone, images that were skipped, and lists that are not there."""
    manifest, name = dataset.manifest, dataset.name
    gone = [file for file in manifest["files"] if not (dataset.root / file).is_file()]
    if gone:
        yield f"{len(gone)} files, such as {gone[0]}; see: bench datasets verify {name}"
    if manifest.get("skipped"):
        yield f"{len(manifest['skipped'])} images that were skipped"
    not_asked, refused = set(), dict[str, list[str]]()
    for recipe in USUAL:
        for shots in SHOTS:
            lists = [f"{recipe}/{list_name(fold, shots)}" for fold in _folds(manifest)]
            lacking = [text for text in lists if text not in manifest["episodes"]]
            reasons = [n for text in lacking for n in manifest["notes"] if f"{text}:" in n]
            if reasons:
                reason = reasons[0].partition(": ")[2]
                said = f"{shots}-shot in {len(reasons)} of {len(lists)} folds ({reason})"
                refused.setdefault(said, []).append(recipe)
            elif lacking:
                not_asked.add(shots)
    yield from (f"{', '.join(recipes)} {said}" for said, recipes in refused.items())
    if not_asked:
        command = f"{prepare_command(name)} --shots {_text(SHOTS)}"
        yield f"{_text(not_asked)}-shot lists; run: {command}"


def _text(shots: Sequence[int] | set[int]) -> str:
    return ",".join(map(str, sorted(shots)))


def _absent(data_root: Path, name: str) -> dict[str, Any]:
    cls: Any = Registry("dataset", DATASETS)[name]
    entry: dict[str, Any] = {
        "dataset": name,
        "prepared": False,
        "bytes": disk_usage(data_root / name),
        "command": f"bench prepare {name}",
    }
    try:
        builder: Builder = cls(cls.Options())
    except ValidationError:  # it needs to be told more, such as a folder
        return {**entry, "missing": [f"not prepared; see: bench prepare {name} --help"]}
    planned = plan(builder.sources(), data_root / name / "raw", None)
    by_hand = [source.name for source in planned if source.state == "missing"]
    fetch = [source.fetch_bytes for source in planned if source.state == "fetch"]
    if by_hand:
        entry["command"] += " --from FOLDER"
    return {
        **entry,
        "fetch_bytes": None if None in fetch else sum(size or 0 for size in fetch),
        "by_hand": by_hand,
        "missing": [f"not prepared; run: {entry['command']}", *_sources(by_hand, fetch)]
        + ([f"{gigabytes(entry['bytes'])} are there"] if entry["bytes"] else []),
    }


def _sources(by_hand: Sequence[str], fetch: Sequence[int | None]) -> Iterator[str]:
    """What preparation would use."""
    if by_hand:
        yield f"with {', '.join(by_hand)} in FOLDER"
    known = sum(size or 0 for size in fetch)
    if known:
        yield f"fetches {'more than ' if None in fetch else ''}{gigabytes(known)}"
    elif None in fetch:
        yield "fetches files whose size is not known"


def gigabytes(size: int) -> str:
    """`1.3 GB`, `68 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"
