"""`bench results`: results that are kept in the repository."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import argument, boards, option, results_root


@click.group(
    cls=VerbGroup,
    examples=(
        "bench results add shapes/dense-nn     write the files to commit",
        "bench results check                   recompute every committed figure",
        "bench results card dense-nn           metadata for a model card",
    ),
)
def results() -> None:
    """Keep results in the repository, and check what is kept."""


@results.command(
    examples=(
        "bench results add dense-nn                      all its folds, datasets and shots",
        "bench results add shapes/fixed-v1/dense-nn      on one dataset, by one protocol",
    ),
)
@argument("names", "Models or runs: parts of their path in the store.", nargs=-1, required=True)
@results_root
@boards
def add(names: Sequence[str], results_root: Path | None, boards: Path) -> None:
    """Write the files of finished runs for committing.

    A small JSON and the counts of every episode. Refused are runs of which a fold is lacking, that
    were cut by --limit, or that do not fit the results that are there.
    """
    from benchmarks.config.file import root
    from benchmarks.results.store import find_runs, read_result
    from leaderboards.committed import curate
    from leaderboards.committed.select import select

    store = root("results_root", results_root)
    known = find_runs(store)
    keys = dict.fromkeys(key for name in names for key in select(known, name))
    for path in curate.add([read_result(store, key) for key in keys], boards / "results"):
        click.echo(path)


@results.command(
    examples=(
        "bench results check                          against the last commit",
        "bench results check --against origin/main    and against what is merged",
    ),
)
@option(
    "--against",
    metavar="REF",
    default="HEAD",
    show_default=True,
    help="The commit whose results may not vanish or move without a line in CHANGES.md.",
)
@boards
def check(against: str, boards: Path) -> None:
    """Check every committed result.

    Reads all files, recomputes every figure from the counts of its episodes, and names results
    that are gone or have moved since REF without a line in CHANGES.md that names them.
    """
    from leaderboards.committed import curate
    from leaderboards.committed.history import CHANGES, unexplained

    found = curate.check(boards / "results")
    problems = list(found.problems) + [
        f"{key} {what}; say why in {boards / CHANGES}" for key, what in unexplained(boards, against)
    ]
    for problem in problems:
        click.echo(problem, err=True)
    click.echo(f"{found.sound} results hold, {len(problems)} problems")
    if problems:
        sys.exit(1)


@results.command(examples=("bench results card dense-nn > card.yaml",))
@argument("names", "Models or runs: parts of their path.", nargs=-1, required=True)
@results_root
@boards
def card(names: Sequence[str], results_root: Path | None, boards: Path) -> None:
    """Print results as metadata for a model card of the Hugging Face hub."""
    from benchmarks.config.file import root
    from leaderboards.committed.card import model_index
    from leaderboards.committed.collect import Places
    from leaderboards.committed.select import select

    places = Places(root("results_root", results_root), boards / "results")
    known = places.runs()
    keys = dict.fromkeys(key for name in names for key in select(known, name))
    click.echo(model_index(places.read(key) for key in keys), nl=False)
