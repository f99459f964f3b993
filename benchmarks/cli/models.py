"""`bench models`: what can be measured, and whether a model keeps the contract."""

from typing import Any

import click

from benchmarks.cli.layout import VerbGroup
from benchmarks.cli.params import as_json, print_json


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    examples=(
        "bench models                                       all models and their sources",
        "bench models check prototype                       does it keep the contract?",
        "bench models check my_model.py --option layers=3   does mine?",
        "bench models convert sd2 sd21 diffews-start        Stable Diffusion as DiffewS starts",
    ),
)
@as_json
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models, check one, or convert weights."""
    if ctx.invoked_subcommand is not None:
        return
    entries = _entries()
    if as_json:
        print_json(entries)
        return
    from benchmarks.console import print_table

    headers = ("model", "kind", "title", "source", "weights", "trained on", "licence")
    keys = ("name", "kind", "title", "source", "weights", "training_data", "licence")
    print_table(headers, [[entry[key] for key in keys] for entry in entries])


def _entries() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from models.catalog import MODELS

    return [
        {"name": name, **asdict(cls.card), "options": _options(cls)} for name, cls in MODELS.items()
    ]


def _options(cls: Any) -> dict[str, str]:
    return {name: field.description or "" for name, field in cls.Options.model_fields.items()}


@models.group(cls=VerbGroup, examples=("bench models convert sd2 sd21 diffews-start",))
def convert() -> None:
    """Bring published weights into the form that a model reads."""
