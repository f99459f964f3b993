"""`bench score`: measure masks that another program wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_json,
    data_root,
    metrics,
    number,
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
@number("--fold", least=0, required=True, group="Which list", help="From 0.")
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
@number(
    "--threshold",
    least=1,
    metavar="N",
    group="What is foreground",
    help="This value and all above.  [default: all but 0; a mask has two values]",
)
@option(
    "--palette",
    type=click.Choice(["colour", "index"]),
    group="What is foreground",
    help="Of palette files: all but black, or all but index 0.  [default: both must agree]",
)
@metrics
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
    threshold: int | None,
    palette: Literal["colour", "index"] | None,
    metrics: Sequence[str] | None,
    data_root: Path | None,
    results_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score masks that another program wrote.

    A mask is a single-channel PNG of two values, 0 and one for the foreground, as large as the
    query image or as the protocol's grid. Missing, extra, wrong and doubtful files are named, and
    nothing is then scored.
    """
    from benchmarks import load_dataset, score_masks
    from benchmarks.cli.console import progress

    with progress(quiet=quiet) as shown:
        scores = score_masks(
            folder,
            load_dataset(dataset, data_root),
            fold=fold,
            shots=shots,
            name=name,
            protocol=protocol,
            sees_test_classes=sees_test_classes,
            threshold=threshold,
            palette=palette,
            metrics=metrics or (),
            results_root=results_root,
            progress=shown,
        )
    key, record = scores.results[0].key, scores.results[0].record
    if as_json:
        print_json({"run": str(key), **record.model_dump(mode="json")})
    else:
        click.echo(f"{key}  mIoU {100 * record.miou:.2f}  FB-IoU {100 * record.fb_iou:.2f}")
