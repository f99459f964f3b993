"""Which label file is whose, where names are not the same letter by letter."""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path


def paired(images: Iterable[str], files: Mapping[str, Path], suffix: str = "") -> dict[str, Path]:
    """The files by the names of their images; those of no image keep their own.

    A name without `suffix` is looked for among the images, then one that differs from an image's
    in case or Unicode form alone, where one image and one file are alike.
    """
    names = {*images}
    cut = {name.removesuffix(suffix): path for name, path in files.items()}
    left = _alike(name for name in names if name not in cut)
    others = _alike(name for name in cut if name not in names)
    renamed = {
        found[0]: left[key][0]
        for key, found in others.items()
        if len(found) == 1 and len(left.get(key, ())) == 1
    }
    return {renamed.get(name, name): path for name, path in cut.items()}


def shared_suffix(images: Iterable[str], others: Iterable[str]) -> str:
    """What all names without an image have after the name of one; empty where nothing is shared."""
    names = {*images}
    ends = set()
    for other in others:
        if other not in names:
            ends.add(next((other[n:] for n in range(len(other), 0, -1) if other[:n] in names), ""))
    return ends.pop() if len(ends) == 1 else ""


def _alike(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    return found
