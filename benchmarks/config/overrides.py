"""What the command line changes in a configuration."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from benchmarks.config.file import (
    expand,
    expand_datasets,
    is_custom,
    is_model,
    short_name,
    unknown_model,
)
from benchmarks.config.schema import BenchConfig, DatasetConfig, ModelConfig
from benchmarks.errors import BenchError
from benchmarks.protocols.catalog import get_protocol
from datasets_prep.formats.yamltext import load_yaml
from models.catalog import GROUPS, MODELS
from models.registry import unknown


@dataclass(frozen=True)
class Overrides:
    """Choices that replace those of the configuration; None leaves them as they are.

    Attributes:
        fields: top-level fields of `BenchConfig`, those that are None left out.
        datasets: names of datasets or groups; those in the configuration keep what it says.
        protocol: for all datasets.
        prompt: in place of the supports' masks, by whatever protocol; "mask" for the masks.
        folds: for all datasets.
        shots: for all datasets.
        models: names of models or groups; those in the configuration keep their options.
        model_from: a user's own model, `module:Class` or a file.
        name: under which the one chosen model keeps its results.
        trained_on: `DATASET:FOLD` or `DATASET` of the one model that is none of the floors, or
            `MODEL=DATASET:FOLD`.
        options: `KEY=VALUE` for every model that has the option, or `MODEL.KEY=VALUE`.
        cache_size: budget of the feature cache on every device.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    datasets: Sequence[str] | None = None
    protocol: str | None = None
    prompt: str | None = None
    folds: Sequence[int] | None = None
    shots: Sequence[int] | None = None
    models: Sequence[str] | None = None
    model_from: str | None = None
    name: str | None = None
    trained_on: Sequence[str] = ()
    options: Sequence[str] = ()
    cache_size: str | None = None


def apply(config: BenchConfig, overrides: Overrides) -> BenchConfig:
    """The configuration as the command line wants it.

    Raises:
        BenchError: for unknown names, values that do not fit, or a user's own model where
            `custom_code` is false.
    """
    body: dict[str, Any] = {k: v for k, v in overrides.fields.items() if v is not None}
    if overrides.cache_size is not None:
        body["cache"] = {"device": overrides.cache_size, "host": overrides.cache_size}
    if body.get("engine") == "local":
        body.setdefault("address", None)  # the file's belongs to the cluster that it names
    body["datasets"] = _datasets(config, overrides)
    models = _with_options(_models(config, overrides), overrides.options)
    body["models"] = _with_training(models, overrides.trained_on)
    try:
        wanted = BenchConfig.model_validate({**dict(config), **body})
    except ValidationError as error:
        first = error.errors()[0]
        name = {"cache": "cache_size"}.get(str(first["loc"][0]), str(first["loc"][0]))
        raise BenchError(
            f"--{name.replace('_', '-')}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    own = [model.target for model in wanted.models if is_custom(model.target)]
    if own and not wanted.custom_code:
        raise BenchError(
            f"{own[0]} is code of your own, which --no-custom-code (in bench.yaml custom_code: "
            f"false) forbids; leave the model out, or run it without"
        )
    return wanted


def check_address(config: BenchConfig, overrides: Overrides) -> None:
    """Refuse a Ray cluster that a file names where no code of others, or no connection, is wanted.

    What answers there may send any code, and Ray imports the scheme of an address as a module.
    The command line's address is the user's own, and `auto` is a cluster that this machine is in.

    Raises:
        BenchError: saying how to join it nevertheless.
    """
    if config.address in (None, "auto") or overrides.fields.get("address") is not None:
        return
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if not config.custom_code or offline:
        raise BenchError(
            f"bench.yaml joins the Ray cluster {config.address!r}, whose code would run here, and "
            f"{'--offline' if config.custom_code else '--no-custom-code'} forbids that; if you "
            f"trust the cluster, name it with --address, else leave the line out"
        )


def _datasets(config: BenchConfig, overrides: Overrides) -> list[dict[str, Any]]:
    chosen = list(config.datasets)
    if overrides.datasets is not None:
        chosen = [
            dataset
            for wanted in expand_datasets(DatasetConfig(name=name) for name in overrides.datasets)
            for dataset in [d for d in config.datasets if d.name == wanted.name] or [wanted]
        ]
    if overrides.protocol is not None:
        get_protocol(overrides.protocol)
    changes = {
        key: value
        for key in ("protocol", "folds", "shots")
        if (value := getattr(overrides, key)) is not None
    }
    # Entries that differed in what is overridden alone have become equal.
    every: list[dict[str, Any]] = []
    for dataset in chosen:
        body = {**dict(dataset), **changes}
        if overrides.prompt is not None:
            base = str(body["protocol"]).partition("+")[0]
            body["protocol"] = base if overrides.prompt == "mask" else f"{base}+{overrides.prompt}"
        if body not in every:
            every.append(body)
    return every


def _models(config: BenchConfig, overrides: Overrides) -> list[ModelConfig]:
    chosen = list(config.models)
    if overrides.models is not None or overrides.model_from is not None:
        chosen = []
    known = {model.name: model for model in config.models}
    for name in overrides.models or ():
        if name not in known and not is_model(name):
            raise BenchError(unknown_model(name))
        for model in expand((ModelConfig(name=name),)):
            chosen.append(known.get(model.name, model))
    if overrides.model_from is not None:
        chosen.append(
            ModelConfig(name=short_name(overrides.model_from), model=overrides.model_from)
        )
    if overrides.name is not None:
        if len(chosen) != 1:
            raise BenchError(f"--name needs exactly one model, there are {len(chosen)}")
        chosen = [chosen[0].model_copy(update={"name": overrides.name, "model": chosen[0].target})]
    return list(expand(tuple(chosen)))


def _with_options(models: list[ModelConfig], options: Sequence[str]) -> list[ModelConfig]:
    for text in options:
        key, equals, value = text.partition("=")
        owner, _, option = key.rpartition(".")
        if not (equals and option):
            raise BenchError(f"--option {text}: expected KEY=VALUE or MODEL.KEY=VALUE")
        takers = {m.name for m in models if (m.name == owner if owner else _takes(m, option))}
        if not takers and owner:
            raise BenchError(f"--option {text}: none of the chosen models is called {owner!r}")
        if not takers:
            known = {name for m in models for name in MODELS[m.target].Options.model_fields}
            raise BenchError(f"--option {text}: {unknown('option', option, sorted(known))}")
        change = {option: _value(text, value)}
        models = [
            m.model_copy(update={"options": {**m.options, **change}}) if m.name in takers else m
            for m in models
        ]
    return models


def _with_training(models: list[ModelConfig], given: Sequence[str]) -> list[ModelConfig]:
    said: dict[str, list[str]] = {}
    for text in given:
        owner, named, entry = text.rpartition("=")
        trained = [m.name for m in models if m.target not in GROUPS["floors"]]
        takers = [m.name for m in models if m.name == owner] if named else trained
        if len(takers) != 1:
            which = (
                f"no chosen model is called {owner!r}" if named else f"models: {', '.join(trained)}"
            )
            raise BenchError(f"--trained-on {text}: {which}; write MODEL=DATASET:FOLD")
        said.setdefault(takers[0], []).append(entry)
    try:
        return [
            ModelConfig(**{**dict(m), "trained_on": said[m.name]}) if m.name in said else m
            for m in models
        ]
    except ValidationError as error:
        raise BenchError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _takes(model: ModelConfig, option: str) -> bool:
    """Whether a model has an option; a user's own model is trusted to."""
    return model.target not in MODELS or option in MODELS[model.target].Options.model_fields


def _value(text: str, value: str) -> Any:
    try:
        return load_yaml(value) if value else ""
    except yaml.YAMLError:
        raise BenchError(f"--option {text}: {value!r} is not a YAML value") from None
