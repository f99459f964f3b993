"""Options that several verbs share, and readers of comma-separated lists."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from benchmarks.cli.options.layout import Argument, Option
from benchmarks.protocols.catalog import DEFAULT_PROTOCOL

F = TypeVar("F", bound=Callable[..., Any])


PATH = click.Path(path_type=Path)


def as_names(value: str) -> tuple[str, ...]:
    """Comma-separated names; empty parts are dropped."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def as_folds(value: str) -> tuple[int, ...]:
    """Comma-separated numbers from 0 up."""
    return _numbers(value, least=0)


def as_shots(value: str) -> tuple[int, ...]:
    """Comma-separated numbers from 1 up."""
    return _numbers(value, least=1)


def _numbers(value: str, least: int) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in as_names(value))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < least:
        raise click.BadParameter(
            f"{value!r} is not a list of whole numbers from {least} up, such as 1,5"
        )
    return numbers


def option(*names: str, group: str = "Options", **attributes: Any) -> Callable[[F], F]:
    """`click.option` with a heading in the help."""
    return click.option(*names, cls=Option, group=group, **attributes)


def number(
    *names: str, least: int = 1, group: str = "Options", **attributes: Any
) -> Callable[[F], F]:
    """An option for a whole number from `least` up, whose default the help shows."""
    given = {"type": click.IntRange(least), "metavar": "N", "show_default": "default" in attributes}
    return option(*names, group=group, **(given | attributes))


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one, in this order."""

    def decorated(command: F) -> F:
        for decorate in reversed(options):
            command = decorate(command)
        return command

    return decorated


def protocol(group: str, explained: str) -> Callable[[F], F]:
    """The protocol of an episode list."""
    given = {"default": DEFAULT_PROTOCOL, "show_default": True, "metavar": "NAME"}
    return option("--protocol", "-p", group=group, help=explained, **given)


def model_options(explained: str, group: str = "Options") -> Callable[[F], F]:
    """Options of the one model that a verb is about."""
    given = {"multiple": True, "metavar": "KEY=VALUE"}
    return option("--option", "-o", "options", group=group, help=explained, **given)


def argument(name: str, explained: str, **attributes: Any) -> Callable[[F], F]:
    """`click.argument` with a line in the help."""
    return click.argument(name, cls=Argument, explained=explained, **attributes)


data_root = option(
    "--data-root",
    type=PATH,
    group="Places",
    help="Folder of prepared datasets.  [BENCH_DATA, then data_root of bench.yaml, then data]",
)
results_root = option(
    "--results-root",
    type=PATH,
    group="Places",
    help="The results store.  [BENCH_RESULTS, then results_root of bench.yaml, then results]",
)


def given_options(*names: str) -> list[str]:
    """The flags of those parameters that the user gives, also where as by default."""
    context = click.get_current_context()
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    ]


boards = option(
    "--boards",
    type=PATH,
    default=Path("leaderboards"),
    show_default=True,
    group="Places",
    help="Folder of the boards; committed results are in its results/.",
)


def _stay_offline(ctx: click.Context, param: click.Parameter, offline: bool) -> None:
    # Read once, when huggingface_hub is first imported, which no verb does before it begins.
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


offline = option(
    "--offline",
    is_flag=True,
    expose_value=False,
    callback=_stay_offline,
    group="Places",
    help="Open no connection: use weights that bench models fetch brought.",
)
no_custom_code = option(
    "--no-custom-code",
    "custom_code",
    is_flag=True,
    flag_value=False,
    default=None,
    group="Models",
    help="Run no code but the suite's: refuse module:Class and file.py, in bench.yaml too.",
)
metrics = option(
    "--metrics",
    type=as_names,
    metavar="A,B,...",
    group="What to count",
    help="Metrics beside the areas: boundary, for Boundary IoU.",
)
quiet = option("--quiet", "-q", is_flag=True, group="Output", help="No progress, no remarks.")
as_json = option("--json", "as_json", is_flag=True, group="Output", help="JSON on stdout.")


def print_json(value: object) -> None:
    """Print a value as JSON on stdout."""
    import json
    import sys

    # Where stdout lacks letters they are escaped, which a reader of JSON undoes.
    whole = "utf" in (sys.stdout.encoding or "").lower()
    click.echo(json.dumps(value, indent=1, ensure_ascii=not whole))
