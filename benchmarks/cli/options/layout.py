"""How help is laid out: flags in groups, arguments explained, examples at the end."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

_GENERAL = "General"


class Option(click.Option):
    """An option that stands under a heading of its own in the help."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class Argument(click.Argument):
    """A positional argument that the help explains."""

    def __init__(self, *args: Any, explained: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.explained = explained


class Verb(click.Command):
    """A command whose help shows its options in sections, and `examples`."""

    def __init__(self, *args: Any, examples: Iterable[str] = (), **kwargs: Any) -> None:
        kwargs["params"] = [*kwargs.get("params", ()), _debug()]
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Leave the arguments to `format_options`: older click does not ask for them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, in the order in which these come up."""
        arguments = [
            (param.make_metavar(ctx), param.explained)
            for param in ctx.command.get_params(ctx)
            if isinstance(param, Argument)
        ]
        _section(formatter, "Arguments", arguments)
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in ctx.command.get_params(ctx):
            record = param.get_help_record(ctx)
            if isinstance(param, click.Option) and record is not None:
                group = param.group if isinstance(param, Option) else _GENERAL
                groups.setdefault(group, []).append(record)
        if isinstance(ctx.command, click.Group):
            ctx.command.format_commands(ctx, formatter)
        for heading in sorted(groups, key=lambda heading: heading == _GENERAL):
            _section(formatter, heading, groups[heading])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are."""
        if self.examples:
            with formatter.section(click.style("Examples", bold=True)):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def _section(formatter: click.HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(click.style(heading, bold=True)):
            formatter.write_dl(rows, col_max=32)


class VerbGroup(Verb, click.Group):
    """A command with commands below it, whose help is laid out alike."""

    command_class = Verb

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a verb, show the help; newer click would raise it as an error."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one uses them."""
        return list(self.commands)


def _debug() -> Option:
    return Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        group=_GENERAL,
        help="Show the traceback of an error.",
    )
