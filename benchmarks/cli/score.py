"""`bench score`: measure masks that another program wrote."""

from pathlib import Path

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_json,
    data_root,
    option,
    print_json,
    quiet,
    results_root,
)
from benchmarks.protocols.catalog import DEFAULT_PROTOCOL


@click.command(
    cls=Verb,
    examples=(
        "bench episodes export pascal --protocol hsnet --fold 0 --shots 1 > list.jsonl",
        "bench score masks --dataset pascal --protocol hsnet --fold 0 --shots 1 --name mine",
    ),
)
@argument("folder", "Holds one PNG an episode: 000000.png, 000001.png, ...", type=PATH)
@option("--dataset", "-d", required=True, group="Which list", help="A prepared dataset.")
@option(
    "--protocol",
    "-p",
    default=DEFAULT_PROTOCOL,
    show_default=True,
    metavar="NAME",
    group="Which list",
    help="The protocol that says how masks are scored.",
)
@option(
    "--fold", type=click.IntRange(0), required=True, metavar="N", group="Which list", help="From 0."
)
@option(
    "--shots",
    "-k",
    type=click.IntRange(1),
    required=True,
    metavar="K",
    group="Which list",
    help="Supports an episode.",
)
@option("--name", required=True, help="The name under which the result is kept.")
@option(
    "--sees-test-classes",
    type=click.Choice(["yes", "no", "partly", "unknown"]),
    default="unknown",
    show_default=True,
    help="Whether training saw masks of the test classes; only no is ranked as strict.",
)
@data_root
@results_root
@as_json
@quiet
def score(
    folder: Path,
    dataset: str,
    protocol: str,
    fold: int,
    shots: int,
    name: str,
    sees_test_classes: str,
    data_root: Path | None,
    results_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score masks that another program wrote.

    A mask is a single-channel PNG in which everything but 0 is foreground, as large as the query
    image or as the protocol's grid. Missing, extra and wrong files are named, and nothing is then
    scored.
    """
    from benchmarks.cli.console import progress
    from benchmarks.config.file import check_name, root
    from benchmarks.protocols.catalog import get_protocol
    from benchmarks.results.outside_masks import Predictions
    from benchmarks.results.outside_masks import score as score_masks
    from datasets_prep.prepared.dataset import PreparedDataset

    check_name(name)
    prepared = PreparedDataset(root("data_root", data_root), dataset)
    predictions = Predictions(
        folder, prepared, get_protocol(protocol), fold, shots, name, sees_test_classes
    )
    with progress(quiet=quiet) as shown:
        record = score_masks(predictions, root("results_root", results_root), shown)
    if as_json:
        print_json({"run": str(predictions.key), **record.model_dump(mode="json")})
    else:
        click.echo(
            f"{predictions.key}  mIoU {100 * record.miou:.2f}  FB-IoU {100 * record.fb_iou:.2f}"
        )
