"""Fold splits that a user wrote down: `{folds: [[cat, dog], [car, bus]]}` in YAML."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from datasets_prep.errors import DatasetError
from datasets_prep.formats.yamltext import load_yaml


def read_fold_file(path: Path, classes: Sequence[str]) -> list[tuple[int, ...]]:
    """The novel classes of each fold, in the file's order.

    Raises:
        DatasetError: unless the file gives every class to one fold, once.
    """
    try:
        body = load_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"cannot read the fold file {path}: {error}") from None
    folds = body.get("folds") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(folds, list) or not all(isinstance(fold, list) and fold for fold in folds):
        raise DatasetError(f"{path}: expected {{folds: [[class, ...], ...]}} and nothing else")
    names = [name for fold in folds for name in fold]
    for name in names:
        if not isinstance(name, str):
            # Aliases let a short file hold lists inside lists that no memory could print.
            what = type(name).__name__ if isinstance(name, list | dict | set) else repr(name)
            raise DatasetError(
                f"{path}: a fold holds {what}, which is no name of a class to YAML: put names in "
                "quotes"
            )
    wrong = {
        "not a class": [name for name in names if name not in classes],
        "given twice": [name for name in classes if names.count(name) > 1],
        "in no fold": [name for name in classes if name not in names],
    }
    if any(wrong.values()):
        raise DatasetError(
            f"{path}: "
            + "; ".join(
                f"{', '.join(dict.fromkeys(found))} {problem}"
                for problem, found in wrong.items()
                if found
            )
            + f" (the classes are {', '.join(classes)})"
        )
    return [tuple(classes.index(name) for name in fold) for fold in folds]
