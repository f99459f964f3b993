"""`bench results`: results that are sent, verified, and kept in the repository."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import (
    PATH,
    argument,
    boards,
    data_root,
    model_options,
    no_custom_code,
    number,
    offline,
    option,
    results_root,
)

if TYPE_CHECKING:
    from benchmarks.results.kept_masks import Mask
    from benchmarks.results.store import Result, RunKey

_SAMPLE, _MODEL = "Which episodes", "With what"


@click.group(
    cls=VerbGroup,
    examples=(
        "bench results add shapes/dense-nn     write the files to commit",
        "bench results pack mine               one file to send",
        "bench results check                   recompute every committed figure",
        "bench results card dense-nn           metadata for a model card",
    ),
)
def results() -> None:
    """Send, verify and keep results."""


def _chosen(names: Sequence[str], results_root: Path | None) -> "list[Result]":
    """Results of the store by name, and those of archives."""
    from benchmarks.config.file import root
    from benchmarks.results.store import find_runs, read_result
    from leaderboards.committed.archive import SUFFIX, read_archive
    from leaderboards.committed.select import select

    found: dict[RunKey, Result] = {}
    for name in names:
        if name.endswith(SUFFIX):
            found |= {result.key: result for result in read_archive(Path(name)).results}
            continue
        store = root("results_root", results_root)
        for key in select(find_runs(store), name):
            found[key] = read_result(store, key)
    return list(found.values())


def _masks(names: Sequence[str], results_root: Path | None) -> "Callable[[RunKey, int], Mask]":
    """A function that gives the mask of an episode: an archive's, else what the run kept."""
    from benchmarks.config.file import root
    from benchmarks.evaluation.episode_mask import kept_mask
    from benchmarks.results.kept_masks import mask_of
    from leaderboards.committed.archive import SUFFIX, read_archive

    store = root("results_root", results_root)
    sent: dict[RunKey, Mapping[int, Mapping[str, Any]]] = {}
    for name in names:
        if name.endswith(SUFFIX):
            sent |= read_archive(Path(name)).masks

    def mask(key: "RunKey", episode: int) -> "Mask":
        if episode in sent.get(key, ()):
            return mask_of(sent[key][episode])
        return kept_mask(store, key, episode)

    return mask


@results.command(
    examples=(
        "bench results add dense-nn                      all its folds, datasets and shots",
        "bench results add shapes/fixed-v1/dense-nn      on one dataset, by one protocol",
        "bench results add mine.zip                      what somebody has packed",
        "bench results add mine.zip --predictions        with its masks",
    ),
)
@argument("names", "Models or runs: parts of their path; or archives.", nargs=-1, required=True)
@option(
    "--predictions",
    is_flag=True,
    help="Keep the masks too, one table a run, where the terms of the data permit it.",
)
@results_root
@boards
def add(names: Sequence[str], predictions: bool, results_root: Path | None, boards: Path) -> None:
    """Write the files of finished runs for committing.

    A small JSON and the counts of every episode. Refused are runs of which a fold is lacking, that
    were cut by --limit, or that do not fit the results that are there.
    """
    from leaderboards.committed import curate

    mask = _masks(names, results_root) if predictions else None
    for path in curate.add(_chosen(names, results_root), boards / "results", mask):
        click.echo(path)


@results.command(
    examples=(
        "bench results pack mine                         all its folds, datasets and shots",
        "bench results pack shapes/mine --predictions    with its masks",
    ),
)
@argument("names", "Models or runs: parts of their path in the store.", nargs=-1, required=True)
@option("--out", type=PATH, default=Path("results.zip"), show_default=True, help="The archive.")
@option(
    "--predictions",
    is_flag=True,
    help="Send the masks too, as run lengths: those of --save-predictions, or of bench score.",
)
@results_root
def pack(names: Sequence[str], out: Path, predictions: bool, results_root: Path | None) -> None:
    """Pack finished runs into one file to send.

    It holds records, the counts of every episode, and masks where wished; no paths, no host names.
    """
    from leaderboards.committed import archive, curate

    found = _chosen(names, results_root)
    curate.check_whole(found)
    archive.pack(found, out, _masks(names, results_root) if predictions else None)
    click.echo(f"packed {len(found)} results into {out}, {out.stat().st_size:,} bytes")


@results.command(
    examples=(
        "bench results verify mine.zip",
        "bench results verify mine.zip --sample 200 --option weights=checkpoints/mine",
        "bench results verify mine.zip --model my_model.py --record 'third party'",
    ),
)
@argument("archive", "What bench results pack wrote.", type=PATH)
@number("--sample", default=50, group=_SAMPLE, help="Episodes to measure again.")
@number("--seed", least=0, default=0, group=_SAMPLE, help="Draws them.")
@option(
    "--model",
    metavar="NAME",
    group=_MODEL,
    help="The model, where the record does not name one: module:Class or file.py.",
)
@model_options(
    "An option beside those of the record, such as weights; {fold} stands for the fold.", _MODEL
)
@option("--device", default="auto", show_default=True, group=_MODEL, help="For the model.")
@no_custom_code
@offline
@data_root
@option(
    "--record",
    type=click.Choice(["author", "third party"]),
    help="Note in the boards' verified.json who has verified it.",
)
@boards
def verify(archive: Path, record: str | None, boards: Path, **given: Any) -> None:
    """Measure some episodes of an archive again.

    Their counts must be equal on the same kind of device with the same torch; elsewhere each may
    differ by 0.5% of the episode's pixels. Masks that the archive holds must give its counts on
    any machine. The exit code is 1 if any episode differs. The options of the record may name
    weights of a hub, which are fetched unless --offline is given.
    """
    from benchmarks.cli.verifying import verify_archive
    from leaderboards.committed.sample import record_verified

    outcome = verify_archive(archive, record or "author", given)
    for difference in outcome.differences:
        click.echo(str(difference), err=True)
    click.echo(outcome.summary)
    if outcome.differences:
        sys.exit(1)
    if record:
        click.echo(f"noted in {record_verified(boards, outcome.verified)}")


@results.command(
    examples=(
        "bench results check                          against the last commit",
        "bench results check --against origin/main    and against what is merged",
        "bench results check --rows                   with the rows that move, as markdown",
    ),
)
@option(
    "--against",
    metavar="REF",
    default="HEAD",
    show_default=True,
    help="The commit whose results may not vanish or move without a line in CHANGES.md.",
)
@option("--rows", is_flag=True, help="Print the rows of the boards that move.")
@boards
def check(against: str, rows: bool, boards: Path) -> None:
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
    if rows:
        from leaderboards.committed.moves import moves
        from leaderboards.tables.moved import moved_rows

        click.echo(moved_rows(list(moves(boards, against))) + "\n")
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

    places = Places(root("results_root", results_root), boards / "results")
    click.echo(model_index(places.named(names)), nl=False)
