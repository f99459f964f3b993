"""`bench score`: measure masks that another program wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    protocol,
    quiet,
    results_root,
)

if TYPE_CHECKING:
    from benchmarks.results.store import Result


@click.command(
    cls=Verb,
    examples=(
        "bench episodes export pascal --protocol hsnet --fold 0 --shots 1 > list.jsonl",
        "bench score masks --dataset pascal --protocol hsnet --fold 0 --shots 1 --name mine",
        "bench score results/shapes/fixed-v1/mine/fold0_1shot --metrics boundary",
    ),
)
@argument(
    "place",
    "A folder with one PNG an episode: 000000.png, 000001.png, ...; a table of run lengths; or a "
    "run that kept its masks.",
    type=PATH,
)
@option("--dataset", "-d", group="Which list", help="A prepared dataset.")
@protocol("Which list", "The protocol that says how masks are scored.")
@number("--fold", least=0, group="Which list", help="From 0.")
@number("--shots", "-k", metavar="K", group="Which list", help="Supports an episode.")
@option("--name", help="The name under which the result is kept; none for a run's own masks.")
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
    place: Path,
    dataset: str | None,
    protocol: str,
    fold: int | None,
    shots: int | None,
    name: str | None,
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

    Of a run that kept its masks, --metrics are counted and added to its result; no model is run.
    """
    from benchmarks import load_dataset, score_masks
    from benchmarks.cli.console import progress

    given = {"dataset": dataset, "fold": fold, "shots": shots, "name": name}
    missing = [f"--{own}" for own, value in given.items() if value is None]
    if len(missing) == len(given) and metrics:
        result = _more(place, data_root, metrics, quiet)
        _say(result, as_json)
        return
    if dataset is None or fold is None or shots is None or name is None:
        raise click.UsageError(f"Missing option {', '.join(missing)}.")
    with progress(quiet=quiet) as shown:
        scores = score_masks(
            place,
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
    _say(scores.results[0], as_json)


def _more(place: Path, data_root: Path | None, metrics: Sequence[str], quiet: bool) -> "Result":
    """What a run's own masks count beside."""
    from benchmarks.cli.console import progress
    from benchmarks.config.file import root
    from benchmarks.errors import BenchError
    from benchmarks.results.count_more import count_more
    from benchmarks.results.journal import is_complete
    from benchmarks.results.kept_masks import FOLDER, TABLE
    from benchmarks.results.store import RunKey

    folder = (place.parent if place.name in (FOLDER, TABLE) else place).resolve()
    key = RunKey.parse("/".join(folder.parts[-4:]))
    if key is None or not is_complete(folder):
        raise BenchError(
            f"{place} holds no masks of a finished run; masks of another program need --dataset, "
            f"--fold, --shots and --name"
        )
    with progress(quiet=quiet) as shown:
        return count_more(folder.parents[3], key, root("data_root", data_root), metrics, shown)


def _say(result: "Result", as_json: bool) -> None:
    from benchmarks.evaluation.questions import HEADS
    from benchmarks.results.figures import answers

    key, record, beside = result.key, result.record, answers(result)
    if as_json:
        body = {"run": str(key), **record.model_dump(mode="json")}
        print_json(body | ({"answers": dict(beside)} if beside else {}))
        return
    shown = {"mIoU": record.miou, "FB-IoU": record.fb_iou}
    shown |= {HEADS[name]: value for name, value in beside.items()}
    figures = "  ".join(f"{name} {100 * value:.2f}" for name, value in shown.items())
    click.echo(f"{key}  {figures}")
