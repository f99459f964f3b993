"""One model by name and options, for the verbs that need no run matrix."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchmarks.config.schema import ModelConfig
    from models.segmenter import Segmenter


def chosen_model(
    name: str, options: Sequence[str], custom_code: bool | None = None
) -> "ModelConfig":
    """The model called `name`, or named by module:Class or file.py, with options added.

    What `bench.yaml` says of a model of this name holds too, and of `custom_code` where that is
    None.
    """
    from benchmarks.config.file import load_config
    from benchmarks.config.overrides import Overrides, apply

    chosen = Overrides({"custom_code": custom_code}, models=(name,), options=options)
    models = apply(load_config(), chosen).models
    if len(models) != 1:
        raise click.UsageError(f"{name} stands for {len(models)} models; name one")
    import_from_here(models)
    return models[0]


def loaded(model: "ModelConfig", device: str, dtype: str = "fp32") -> tuple["Segmenter", str]:
    """The segmenter on its device, and the device's name with `auto` resolved."""
    from benchmarks.config.loading import load_segmenter, resolve_device

    where = resolve_device(device)
    return load_segmenter(model, where, dtype), str(where)


def import_from_here(models: "Iterable[ModelConfig]") -> None:
    """Let a user's own module be found where the command is run; a script's path lacks it.

    Only where one of the models is such a module: whatever else is imported, a package that is
    not installed must not be taken from a file that happens to lie here.
    """
    from benchmarks.config.file import is_custom

    here = str(Path.cwd())
    if here not in sys.path and any(is_custom(model.target) for model in models):
        sys.path.append(here)
