"""`bench.yaml` read into a `BenchConfig`; every error names file, line and key.

Values come, the later the stronger, from the defaults, the file, the environment (`BENCH_DATA`,
`BENCH_RESULTS`) and the command line (`benchmarks.config.overrides`).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, SequenceNode

from benchmarks.config.schema import (
    BenchConfig,
    CacheConfig,
    DatasetConfig,
    ModelConfig,
    at_home,
)
from benchmarks.errors import BenchError
from benchmarks.protocols.catalog import known_protocols, unknown_protocol
from datasets_prep.catalog import GROUPS as DATASET_GROUPS
from datasets_prep.formats.yamltext import load_yaml
from models.catalog import GROUPS, MODELS, tiny_options
from models.registry import unknown

DEFAULT_FILE = Path("bench.yaml")
ENVIRONMENT: Mapping[str, str] = {"data_root": "BENCH_DATA", "results_root": "BENCH_RESULTS"}

_NAME = re.compile(r"[\w@+-][\w.@+-]*")
_MOST_PLACES = 100_000

Place = tuple[str | int, ...]  # ("datasets", 0, "shots")
_SECTIONS: Mapping[str | int, type[BaseModel]] = {
    "cache": CacheConfig,
    "datasets": DatasetConfig,
    "models": ModelConfig,
}


def load_config(path: Path | None = None) -> BenchConfig:
    """The configuration in `path`, or in `bench.yaml` here if there is one, or the defaults.

    Raises:
        BenchError: naming file, line and key of everything that is wrong, or a variable of the
            environment that names a home folder which is not there.
    """
    if path is None:
        path = DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    config = read_config(path) if path else BenchConfig()
    roots = {
        name: _expanded(variable, Path(os.environ[variable]))
        for name, variable in ENVIRONMENT.items()
        if os.environ.get(variable)
    }
    return config.model_copy(update=roots)


def root(name: str, given: Path | None) -> Path:
    """The root called `name` ("data_root" or "results_root") for verbs without a run matrix.

    Args:
        name: which root.
        given: what the command line says; the environment, `bench.yaml` and the default follow.

    Raises:
        BenchError: as `load_config`, or if `given` names a home folder that is not there.
    """
    path: Path = _expanded(name, given) if given else getattr(load_config(), name)
    return path


def _expanded(said: str, path: Path) -> Path:
    try:
        return at_home(path)
    except ValueError as error:
        raise BenchError(f"{said}: {error}") from None


def read_config(path: Path) -> BenchConfig:
    """Read one YAML file; a dataset or model may be given by its bare name.

    Raises:
        BenchError: naming file, line and key of everything that is wrong.
    """
    body, lines = _parse(path)
    try:
        config = BenchConfig.model_validate(_spelled_out(body))
    except ValidationError as error:
        problems = _problems(error)
    else:
        problems = dict(_wrong_models_and_protocols(config))
    if problems:
        raise BenchError(
            "\n".join(
                f"{path}, line {_line(place, lines)}: {_spelled(place)}: {message}"
                for place, message in problems.items()
            )
        )
    expanded = {"datasets": expand_datasets(config.datasets), "models": expand(config.models)}
    return config.model_copy(update=expanded)


def expand_datasets(datasets: Iterable[DatasetConfig]) -> tuple[DatasetConfig, ...]:
    """The datasets with the name of a group replaced by its members."""
    return tuple(
        dataset.model_copy(update={"name": name})
        for dataset in datasets
        for name in DATASET_GROUPS.get(dataset.name, (dataset.name,))
    )


def expand(models: tuple[ModelConfig, ...]) -> tuple[ModelConfig, ...]:
    """The models with the name of a group replaced by its members.

    Raises:
        BenchError: if two models would write under one name, or one under another's.
    """
    every: dict[str, ModelConfig] = {}
    for wanted in models:
        for model in _members(wanted):
            check_name(model.name)
            if model.name in MODELS and model.target != model.name:
                raise BenchError(
                    f"{model.target} cannot keep its results as {model.name!r}, which is another "
                    f"model of the suite; give it another `name`"
                )
            if every.get(model.name, model) != model:
                raise BenchError(
                    f"two models would keep their results as {model.name!r}; give one of them "
                    f"another `name` and say which it is with `model`"
                )
            every[model.name] = model
    return tuple(every.values())


def check_name(name: str) -> None:
    """Refuse a model's name that cannot be a folder's.

    Raises:
        BenchError: saying which characters can.
    """
    if not _NAME.fullmatch(name):
        raise BenchError(
            f"{name!r} cannot name a result: use letters, digits and . _ - + @, "
            f"and no dot at the beginning"
        )


def _members(wanted: ModelConfig) -> list[ModelConfig]:
    """A group's members; a user's own model given without a name gets one.

    In `all`, models whose weights must be fetched run at a tiny random size, under another name.
    """
    if wanted.model is not None or wanted.name in MODELS:
        return [wanted]
    if wanted.name == "all":
        return [
            ModelConfig(name=f"{name}-random", model=name, options=dict(options))
            if (options := tiny_options(name)) is not None
            else ModelConfig(name=name)
            for name in GROUPS["all"]
        ]
    if wanted.name in GROUPS:
        return [wanted.model_copy(update={"name": name}) for name in GROUPS[wanted.name]]
    return [wanted.model_copy(update={"name": short_name(wanted.name), "model": wanted.name})]


def short_name(target: str) -> str:
    """A name for results of `module:Class` (the class) or a file (its name without suffix)."""
    return target.rpartition(":")[2] if ":" in target else Path(target).stem


def to_yaml(config: BenchConfig) -> str:
    """The configuration as YAML that `read_config` reads to an equal value."""
    body = config.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _parse(path: Path) -> tuple[Any, Mapping[Place, int]]:
    """The document, and the line of every key and list item."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BenchError(f"cannot read {path}: {reason}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        body, lines = load_yaml(text), _lines(path, node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BenchError(f"{path}, line {line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise BenchError(f"{path}: this is not YAML: {error}") from None
    except RecursionError:
        raise BenchError(
            f"{path}: this is nested too deep, or an alias stands for what it is part of; write "
            f"out what is meant"
        ) from None
    return {} if body is None else body, lines


def _lines(path: Path, node: Node | None) -> Mapping[Place, int]:
    """The line of every key and list item.

    Raises:
        BenchError: if a key stands there twice, or there are too many.
        RecursionError: if an alias stands for what it is part of.
    """
    lines: dict[Place, int] = {}
    for place, line in _walk(node, ()):
        if place in lines:
            raise BenchError(
                f"{path}, line {line}: {_spelled(place)}: this key stands in line "
                f"{lines[place]} already"
            )
        lines[place] = line
        if len(lines) > _MOST_PLACES:  # aliases let a few lines stand for any number
            raise BenchError(f"{path} holds more than {_MOST_PLACES:,} entries")
    return lines


def _walk(node: Node | None, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield (*place, key.value), key.start_mark.line + 1
            yield from _walk(value, (*place, key.value))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield (*place, index), item.start_mark.line + 1
            yield from _walk(item, (*place, index))


def _spelled_out(body: Any) -> Any:
    """Bare names in the lists of datasets and models become `{"name": ...}`."""
    if not isinstance(body, dict):
        return body
    lists = {key: body[key] for key in ("datasets", "models") if isinstance(body.get(key), list)}
    named = {
        key: [{"name": item} if isinstance(item, str) else item for item in items]
        for key, items in lists.items()
    }
    return {**body, **named}


def _problems(error: ValidationError) -> dict[Place, str]:
    """One message for each wrong key."""
    problems: dict[Place, str] = {}
    for detail in error.errors(include_url=False):
        *around, last = detail["loc"] or ("",)
        unexpected = detail["type"] == "extra_forbidden"
        # Branches of a union are parts of pydantic's place, but no keys of the file.
        place = tuple(part for part in around if isinstance(part, int) or _is_key(part))
        if unexpected or isinstance(last, int) or _is_key(last):
            place = (*place, last)
        if unexpected:
            model = _SECTIONS[place[0]] if len(place) > 1 else BenchConfig
            message = unknown("key", str(place[-1]), list(model.model_fields))
        else:
            message = detail["msg"].removeprefix("Value error, ")
        problems[place] = f"{problems[place]}; or: {message}" if place in problems else message
    return problems


def _is_key(part: str) -> bool:
    return part.isidentifier() and part not in ("int", "str")


def _wrong_models_and_protocols(config: BenchConfig) -> Iterator[tuple[Place, str]]:
    for index, dataset in enumerate(config.datasets):
        if dataset.protocol not in known_protocols():
            yield ("datasets", index, "protocol"), unknown_protocol(dataset.protocol)
    for index, model in enumerate(config.models):
        key = "name" if model.model is None else "model"
        if not is_model(model.target):
            yield ("models", index, key), unknown_model(model.target)
        for given in ("options", "trained_on"):
            if model.target == "all" and getattr(model, given):
                yield (
                    ("models", index, given),
                    "`all` takes none; name the models that are to have some",
                )


def is_model(target: str) -> bool:
    """Whether `target` is a registered model or a group, or looks like a user's own."""
    return target in MODELS or target in GROUPS or is_custom(target)


def is_custom(target: str) -> bool:
    """Whether `target` names a user's own code: `module:Class`, or a file."""
    return target not in MODELS and (":" in target or target.endswith(".py"))


def unknown_model(target: str) -> str:
    """The message for a name that is no model."""
    return unknown("model", target, [*MODELS, *GROUPS])


def _line(place: Place, lines: Mapping[Place, int]) -> int:
    """The line of a key, or of the nearest thing around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _spelled(place: Place) -> str:
    """`datasets[0].shots`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "the file"
