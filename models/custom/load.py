"""A user's own segmenter, named on the command line or in bench.yaml."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from models.catalog import parse_options
from models.custom.code import check_neighbours, forget_below, forget_changed
from models.errors import ModelError
from models.segmenter import Segmenter

_METHODS = ["encode_image", "encode_support", "segment"]
_PARTS = ["geometry", "support_uses_features", *_METHODS, "binarize"]
_BESIDE: list[str] = []  # folders that models were loaded from, in `sys.path`


def load_custom(
    spec: str, options: Mapping[str, Any] | None = None, *, device: str = "cpu", dtype: str = "fp32"
) -> Segmenter:
    """Load the segmenter that `spec` names; this runs the user's code.

    A class with `Options` and `load`, as the suite's own models have them, is loaded with the
    options; any other class or function is called with them as keyword arguments.

    Args:
        spec: `package.module:Name`, `path/to/file.py:Name`, or `path/to/file.py` where the file
            defines exactly one segmenter.
        options: the model's options.
        device: a torch device, passed to `load`.
        dtype: "fp32", "fp16" or "bf16", passed to `load`.

    Raises:
        ModelError: if there is no such file, module or name, or it is no segmenter.
    """
    place, _, name = spec.partition(":")
    leave_folders(except_for=Path(place).resolve().parent)
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place, spec)
    factory = getattr(module, name, None) if name else _only_segmenter(module, place)
    if factory is None:
        raise ModelError(f"{place} defines no {name!r}")
    if not callable(factory):
        raise ModelError(f"{name!r} of {place} is no class and no function that makes a segmenter")
    if hasattr(factory, "Options") and hasattr(factory, "load"):
        parsed = parse_options(spec, factory, options or {})
        model = factory.load(parsed, device=device, dtype=dtype)
    else:
        model = factory(**(options or {}))
    if not isinstance(model, Segmenter):
        lacks = ", ".join(part for part in _PARTS if not hasattr(model, part))
        raise ModelError(
            f"{spec} is not a segmenter: it lacks {lacks}; models/template.py is one to copy"
        )
    batch = getattr(model, "batch_size", 1)
    if not isinstance(batch, int) or batch < 1:
        raise ModelError(f"{spec}: batch_size is {batch!r}, but a call takes one episode or more")
    return model


def module_name(spec: str) -> str | None:
    """The name in `sys.modules` of the module that a spec names; None for a registered model."""
    place, colon, _ = spec.partition(":")
    if place.endswith(".py"):
        return f"custom_{Path(place).stem}"
    return place if colon else None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"no such file: {path}")
    name = f"custom_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file")
    _import_from(path.resolve().parent)
    forget_changed(name, path)
    check_neighbours(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise _not_found(str(path), error) from None
    return module


def _import_from(folder: Path) -> None:
    """Let a file import what lies beside it, before what lies where the command is run.

    Behind all that is installed: a file that happens to have a package's name must not replace it.
    """
    if str(folder) not in sys.path:
        behind_all = sys.path[-1:] != [str(Path.cwd())]
        sys.path.insert(len(sys.path) if behind_all else -1, str(folder))
        _BESIDE.append(str(folder))


def leave_folders(*, except_for: Path | None = None) -> None:
    """Let a model import nothing that lies beside one loaded before it, from another folder."""
    kept = None if except_for is None else str(except_for)
    for folder in [folder for folder in _BESIDE if folder != kept]:
        _BESIDE.remove(folder)
        sys.path[:] = [other for other in sys.path if other != folder]
        forget_below(Path(folder))


def _from_module(name: str, spec: str) -> ModuleType:
    from models.catalog import MODELS
    from models.registry import unknown

    if ":" not in spec:
        raise ModelError(unknown("model", name, MODELS))
    if not all(part.isidentifier() for part in name.split(".")):
        raise ModelError(f"{spec} is no model: expected MODULE:NAME, as in package.module:Name")
    try:
        found = importlib.util.find_spec(name)
        if found is not None and (found.origin or "").endswith(".py"):
            forget_changed(name, Path(str(found.origin)))
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _not_found(spec, error) from None


def _not_found(spec: str, error: ModuleNotFoundError) -> ModelError:
    return ModelError(
        f"{spec}: cannot import {error.name!r}; what is installed can be imported, what lies in "
        f"the folder of the command, on PYTHONPATH, or beside a model that is named by its file"
    )


def _only_segmenter(module: ModuleType, place: str) -> Any:
    classes = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    ]
    lacks = {thing.__name__: [m for m in _METHODS if not hasattr(thing, m)] for thing in classes}
    found = [thing for thing in classes if not lacks[thing.__name__]]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(thing.__name__ for thing in found)
        raise ModelError(f"{place} defines several segmenters: name one as {place}:NAME ({names})")
    nearly = [f"{name} lacks {', '.join(own)}" for name, own in lacks.items() if own != _METHODS]
    said = f" ({'; '.join(nearly)})" if nearly else ""
    raise ModelError(f"{place} defines no class with {', '.join(_METHODS)}{said}")
