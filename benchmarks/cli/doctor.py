"""`bench doctor`: is this machine fit to run the suite?"""

from pathlib import Path

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import as_json, data_root, print_json, results_root

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "wrong": ("wrong", "red")}


@click.command(cls=Verb, examples=("bench doctor", "bench doctor --json"))
@data_root
@results_root
@as_json
@click.pass_context
def doctor(
    ctx: click.Context, data_root: Path | None, results_root: Path | None, as_json: bool
) -> None:
    """Find out what this machine lacks.

    Looks at versions, devices, folders, disk and weights; exit code 1 if something is wrong.
    """
    from dataclasses import asdict

    from benchmarks.cli.machine import examine
    from benchmarks.config.file import root

    checks = []
    for check in examine(root("data_root", data_root), root("results_root", results_root)):
        checks.append(check)
        if not as_json:
            word, colour = _MARKS[check.state]
            click.echo(f"{click.style(f'{word:8}', fg=colour)}{check.name:14}{check.finding}")
    if as_json:
        print_json([asdict(check) for check in checks])
    if any(check.state == "wrong" for check in checks):
        ctx.exit(1)
