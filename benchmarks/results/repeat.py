"""What repeats a result: the model and options that its record names, and the command."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from benchmarks.results.agreement import by_fold
from benchmarks.results.records import ModelRecord, RunRecord

_WEIGHTS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin")


def registered(model: ModelRecord) -> str | None:
    """The suite's model that was measured, under whatever name; None for other code."""
    from models.catalog import MODELS

    if model.source_digest is not None or model.kind == "predictions":
        return None
    if model.name in MODELS:
        return model.name
    return next((name for name in MODELS if MODELS[name].card.title == model.title), None)


def options_of(model: ModelRecord) -> dict[str, Any]:
    """Those options of a suite's model that are not its defaults.

    A file of weights is left out: its place is another one on every machine, and the digest in the
    record names its content.
    """
    from models.catalog import MODELS

    name = registered(model)
    fields = {} if name is None else MODELS[name].Options.model_fields
    return {
        key: value
        for key, value in model.config.items()
        if key in fields and value != fields[key].default and not _is_file(value)
    }


def repeat_command(records: Sequence[RunRecord]) -> str:
    """The command that measures again what `records` say: one model's folds in one setting."""
    setup = records[0].setup
    folds = sorted(record.setup.fold for record in records)
    place = ["--datasets", setup.dataset.name, "--protocol", setup.protocol.name]
    place += ["--shots", str(setup.shots)]
    if len(folds) < len(setup.dataset.tested):
        place += ["--folds", ",".join(map(str, folds))]
    if setup.episodes.limit is not None:
        place += ["--limit", str(setup.episodes.limit)]
    beside = ["--metrics", ",".join(setup.metrics)] if setup.metrics else []
    if setup.model.kind == "predictions":
        words = ["bench", "score", "MASKS", "--dataset", setup.dataset.name]
        words += ["--protocol", setup.protocol.name, "--fold", "FOLD"]
        words += ["--shots", str(setup.shots), "--name", setup.model.name]
        said = {**setup.model.config, "sees_test_classes": setup.model.sees_test_classes}
        for key in ("threshold", "palette", "sees_test_classes"):
            if said.get(key, "unknown") != "unknown":
                words += [f"--{key.replace('_', '-')}", str(said[key])]
        return shlex.join([*words, *beside])
    name = registered(setup.model)
    who = ["--models", name] if name else ["--model-from", "FILE.py"]
    who += [word for item in _options(records) for word in ("--option", _text(*item))]
    if name != setup.model.name:
        who += ["--name", setup.model.name]
    how = ["--device", setup.device] + (["--dtype", setup.dtype] if setup.dtype != "fp32" else [])
    return shlex.join(["bench", "run", *place, *who, *how, *beside])


def _options(records: Sequence[RunRecord]) -> Iterator[tuple[str, Any]]:
    """The options of all folds, with `{fold}` where each has a file that is named by its number."""
    for key, value in options_of(records[0].setup.model).items():
        own = [(record.setup.model.config.get(key), record.setup.fold) for record in records]
        if any(other != value for other, _ in own):
            named = {by_fold(str(other), fold) for other, fold in own}
            value = named.pop() if len(named) == 1 else key.upper()
        yield key, value


def _is_file(value: object) -> bool:
    return isinstance(value, str) and PurePath(value).suffix in _WEIGHTS


def _text(key: str, value: object) -> str:
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"
