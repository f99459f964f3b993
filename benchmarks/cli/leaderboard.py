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
@option(
    "--plots", is_flag=True, group="Output", help="Draw PNGs too (pip install 'fss-bench[plots]')."
)
@quiet
def leaderboard(results_root: Path | None, output: Path, plots: bool, quiet: bool) -> None:
    """Build the leaderboard from all results.

    From the results store and from results that are committed below the output. Results whose
    digests do not agree with the others' are left out and named.
    """
    from benchmarks.configfile import root
    from leaderboards.build import build

    built = build(root("results_root", results_root), output, plots=plots)
    if not quiet:
        click.echo(built.text, nl=False)
