"""The digests that published lists must have, checked wherever those lists are used."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import lists_digest
from datasets_prep.prepared.folds import FoldSet

_FILE = Path(__file__).with_name("published.json")


@cache
def _table() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def list_name(fold: int, shots: int) -> str:
    """The name of a list, as its file has it: `fold0_5shot`."""
    return f"fold{fold}_{shots}shot"


def expected_digest(dataset: str, folds: FoldSet, recipe: str, fold: int, shots: int) -> str | None:
    """The published digest of a list; None where `folds` are not the published ones."""
    entry = _table().get(dataset)
    if entry is None or entry["lists"] != lists_digest(folds):
        return None
    return published_digest(dataset, recipe, fold, shots)


def published_digest(dataset: str, recipe: str, fold: int, shots: int) -> str | None:
    """The digest of a list as published; None where the table does not have it."""
    lists = _table().get(dataset, {}).get(recipe, {})
    return lists.get(list_name(fold, shots))  # type: ignore[no-any-return]


def difference(
    dataset: str, folds: FoldSet, recipe: str, fold: int, shots: int, actual: str
) -> str | None:
    """How a list drawn from what should be the published fold lists differs from its publication.

    Where nobody published that list, the fold lists themselves are compared.
    """
    entry = _table().get(dataset)
    if entry is None:
        return None
    expected, what = published_digest(dataset, recipe, fold, shots), "the published list"
    if expected is None:
        actual, expected, what = lists_digest(folds), entry["lists"], "the published fold lists"
    if actual == expected:
        return None
    return (
        f"{dataset} {recipe} {list_name(fold, shots)}: digest {actual}, but {what} "
        f"{'has' if what.endswith('list') else 'have'} {expected}"
    )


def check_digest(
    dataset: str, folds: FoldSet, recipe: str, fold: int, shots: int, actual: str
) -> None:
    """Compare a list with its publication.

    Raises:
        DatasetError: naming both digests, if they differ.
    """
    expected = expected_digest(dataset, folds, recipe, fold, shots)
    if expected is not None and expected != actual:
        raise DatasetError(
            f"{dataset} {recipe} {list_name(fold, shots)}: the episode list has digest {actual}, "
            f"but the published list has {expected}"
        )
