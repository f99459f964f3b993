"""`bench leaderboard`: all results compared."""

from pathlib import Path

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import PATH, data_root, option, quiet, results_root


@click.command(
    "leaderboard",
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
    "--plots",
    is_flag=True,
    group="Output",
    help="Draw the plots of pictures.md anew (pip install 'fss-bench[plots]').",
)
@option(
    "--gallery",
    is_flag=True,
    group="Output",
    help="Add episodes of runs with --save-predictions to index.html and pictures.md; "
    "what was drawn before stays.",
)
@data_root
@quiet
def command(
    results_root: Path | None,
    output: Path,
    plots: bool,
    gallery: bool,
    data_root: Path | None,
    quiet: bool,
) -> None:
    """Build the leaderboard from all results.

    From the results store and from results that are committed below the output. Results whose
    digests do not agree with the others' are left out and named.
    """
    from benchmarks.config.file import root
    from datasets_prep.catalog import GROUPS
    from leaderboards import leaderboard

    store, pictures = root("results_root", results_root), None
    if gallery:
        from benchmarks.pictures.gallery import draw_gallery

        pictures = draw_gallery(root("data_root", data_root), store)
    built = leaderboard(store, output, groups=GROUPS, plots=plots, gallery=pictures)
    if not quiet:
        click.echo(built.text, nl=False)
