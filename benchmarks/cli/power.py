"""`bench power`: how many episodes tell two models apart."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    argument,
    as_json,
    boards,
    option,
    print_json,
    results_root,
)


@click.command(
    cls=Verb,
    examples=(
        "bench power shapes/dense-nn              from one model's own variance",
        "bench power dense-nn prototype           from the difference of two",
        "bench power dense-nn --chance 0.9        to find a difference nine times of ten",
    ),
)
@argument("names", "One model or two: parts of their path.", nargs=-1, required=True)
@option(
    "--chance",
    type=click.FloatRange(0.05, 0.999),
    metavar="X",
    default=0.8,
    show_default=True,
    help="With which a true difference shall be found.",
)
@results_root
@boards
@as_json
def power(
    names: Sequence[str], chance: float, results_root: Path | None, boards: Path, as_json: bool
) -> None:
    """Say how many episodes it takes to tell two models apart.

    From the variance of one model's results, or, which is better, of the difference of two on the
    same episodes; at a level of 5%, two-sided.
    """
    from dataclasses import asdict

    from benchmarks.config.file import root
    from leaderboards.committed.collect import Places
    from leaderboards.statistics.power import powers

    if len(names) > 2:
        raise click.UsageError("give one model, or two")
    places = Places(root("results_root", results_root), boards / "results")
    found = powers([places.named([name]) for name in names], chance=chance)
    if as_json:
        print_json([asdict(own) for own in found])
        return
    from benchmarks.cli.console import print_table
    from leaderboards.statistics.comparison import part_of

    points = [f"{100 * point:g} points" for point in found[0].needed]
    head = (
        "setting",
        "models",
        "episodes",
        "images",
        "correlation",
        "detectable difference",
        *points,
    )
    rows = [
        (
            own.setting + part_of(own.folds, own.of),
            " - ".join(own.models),
            own.episodes,
            own.images,
            f"{own.correlation:.2f}" if len(own.models) > 1 else "assumed 0",
            f"{100 * own.detectable:.2f} points",
            *own.needed.values(),
        )
        for own in found
    ]
    title = f"episodes that find a true difference with a chance of {100 * chance:g}%"
    print_table(head, rows, title=title, right=head[2:])
