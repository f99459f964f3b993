"""One model by name and options, for the verbs that need no run matrix."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchmarks.config import ModelConfig
    from models.segmenter import Segmenter


def chosen_model(name: str, options: Sequence[str]) -> "ModelConfig":
    """The model called `name`, or named by module:Class or file.py, with options added.

    What `bench.yaml` says of a model of this name holds too.
    """
    from benchmarks.configfile import load_config
    from benchmarks.overrides import Overrides, apply

    import_from_here()
    models = apply(load_config(), Overrides(models=(name,), options=options)).models
    if len(models) != 1:
        raise click.UsageError(f"{name} stands for {len(models)} models; name one")
    return models[0]


def loaded(model: "ModelConfig", device: str, dtype: str = "fp32") -> tuple["Segmenter", str]:
    """The segmenter on its device, and the device's name with `auto` resolved."""
    from benchmarks.loading import load_segmenter, resolve_device

    where = resolve_device(device)
    return load_segmenter(model, where, dtype), str(where)


def import_from_here() -> None:
    """Let a user's own module be found where the command is run; a script's path lacks it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
