"""`bench leaderboard`: all results compared."""

from pathlib import Path

import click

from benchmarks.cli.layout import Verb
from benchmarks.cli.params import PATH, option, quiet, results_root


@click.command(
    cls=Verb,
    examples=(
        "bench leaderboard                    write leaderboards/ and print its tables",
        "bench leaderboard --output board     write somewhere else",
    ),
)
@results_root
@option(
    "--output",
    type=PATH,
    default=Path("leaderboards"),
    show_default=True,
    group="Places",
    help="Folder for README.md and a page for each dataset.",
)
@quiet
def leaderboard(results_root: Path | None, output: Path, quiet: bool) -> None:
    """Build the leaderboard from all results.

    It reads the results store alone. Results whose digests do not fit their dataset and protocol
    are left out and named.
    """
    from benchmarks.configfile import root
    from leaderboards.build import build

    built = build(root("results_root", results_root), output)
    if not quiet:
        click.echo(built.text, nl=False)
