"""`bench models`: what can be measured, and whether a model keeps the contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.cli.layout import VerbGroup
from benchmarks.cli.params import PATH, argument, as_json, option, print_json


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    examples=(
        "bench models                                        all models and their sources",
        "bench models show dense-nn                          one model and its options",
        "bench models check my_model.py --option patch=8     does mine keep the contract?",
        "bench models convert sd2 sd21 diffews-start         a DiffewS to train from",
    ),
)
@as_json
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models, check one, or convert weights."""
    if ctx.invoked_subcommand is not None:
        return
    from models.catalog import MODELS

    entries = [_entry(name) for name in MODELS]
    if as_json:
        print_json(entries)
        return
    from benchmarks.console import print_table

    keys = {"name": "model", "kind": "kind", "summary": "what it does", "weights": "weights"}
    print_table(list(keys.values()), [[entry[key] for key in keys] for entry in entries])


@models.command(examples=("bench models show dense-nn", "bench models show diffews --json"))
@argument("name", "A model's name.")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one model and its options."""
    entry = _entry(name)
    if as_json:
        print_json(entry)
        return
    from benchmarks.console import print_table

    options = entry.pop("options")
    print_table(("", entry.pop("name")), [(key, _text(value)) for key, value in entry.items()])
    if options:
        headers = ("option", "default", "meaning")
        print_table(headers, [[o["name"], o["default"], o["meaning"]] for o in options])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {text}" for key, text in value.items())
    return str(value or "–")


def _entry(name: str) -> dict[str, Any]:
    """A model's card and options as plain values."""
    from dataclasses import asdict

    from models.catalog import MODELS

    cls = MODELS[name]
    options = [
        {
            "name": key,
            "default": None
            if field.is_required()
            else field.get_default(call_default_factory=True),
            "meaning": field.description or "",
        }
        for key, field in cls.Options.model_fields.items()
    ]
    return {"name": name, **asdict(cls.card), "options": options}


@models.command(
    examples=(
        "bench models check dense-nn",
        "bench models check dense-nn --option backbone=resnet50",
        "bench models check my_model.py:Mine --device cuda",
    )
)
@argument("name", "A model's name, module:Class, or file.py[:Class].")
@option(
    "--option", "-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the model."
)
@option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@as_json
@click.pass_context
def check(
    ctx: click.Context, name: str, options: Sequence[str], device: str, as_json: bool
) -> None:
    """Tell whether a model keeps the contract.

    It is tried out on small random images: shapes, determinism, a batch of two against two of
    one, inputs left as they were. Exit code 1 if something does not hold.
    """
    from dataclasses import asdict

    from benchmarks.cli.segmenters import chosen_model, loaded
    from models.check import check_segmenter

    segmenter, where = loaded(chosen_model(name, options), device)
    findings = check_segmenter(segmenter, device=where)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            word, colour = ("ok", "green") if finding.passed else ("wrong", "red")
            click.echo(f"{click.style(f'{word:6}', fg=colour)}{finding.check}")
            if finding.detail:
                click.echo(f"      {finding.detail}")
    if not all(finding.passed for finding in findings):
        ctx.exit(1)


@models.group(cls=VerbGroup, examples=("bench models convert sd2 sd21 diffews-start",))
def convert() -> None:
    """Bring published weights into the form that a model reads."""


@convert.command(examples=("bench models convert sd2 stable-diffusion-2-1 diffews-start",))
@argument("source", "Stable Diffusion 2.x in diffusers' folders.", type=PATH)
@argument("target", "A folder that does not exist yet.", type=PATH)
def sd2(source: Path, target: Path) -> None:
    """Make an untrained DiffewS from Stable Diffusion 2.

    The U-Net gets a second input convolution for the support's image and mask, made from its
    first; training starts from the result.
    """
    from models.diffews.convert import convert_sd2

    convert_sd2(source, target)
    click.echo(f"wrote {target}")
