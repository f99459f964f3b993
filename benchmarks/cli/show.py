"""`bench show`: one picture of one episode."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    argument,
    data_root,
    given_options,
    model_options,
    no_custom_code,
    number,
    option,
    protocol,
    results_root,
)
from benchmarks.protocols.catalog import get_protocol

if TYPE_CHECKING:
    from benchmarks.pictures.episode import Prediction
    from benchmarks.protocols.catalog import Protocol
    from benchmarks.results.store import RunKey
    from datasets_prep.episodes.episode import Episode
    from datasets_prep.prepared.dataset import PreparedDataset

_LIST, _WHO = "Which episode list", "Whose prediction"


@click.command(
    cls=Verb,
    examples=(
        "bench show shapes 17                               supports, query, ground truth",
        "bench show shapes 17 --model prototype             and what a model makes of it now",
        "bench show shapes 17 --run dense-nn/fold0_1shot    and what this run kept of it",
        "bench show shapes 17 --run supports-v1/dense-nn/fold0_1shot --worst",
        "                                                   its query with the worst support",
    ),
)
@argument("dataset", "A prepared dataset.")
@argument("episode", "Number of the episode in its list, from 0.", type=click.IntRange(0))
@protocol(_LIST, "Protocol whose list and resolution are used.")
@number("--fold", least=0, default=0, group=_LIST, help="Fold of the list.")
@number("--shots", "-k", default=1, metavar="K", group=_LIST, help="Supports an episode.")
@option(
    "--run",
    "run_key",
    metavar="RUN",
    group=_WHO,
    help="A run as `bench run` names it, or its last parts; it says protocol, fold and shots.",
)
@option(
    "--best/--worst",
    "best",
    default=None,
    group=_WHO,
    help="List the run's episodes with this query and class; draw the best or the worst.",
)
@option(
    "--model",
    "-m",
    metavar="NAME",
    group=_WHO,
    help="Run this model now: a name, module:Class or file.py; options as in bench.yaml.",
)
@model_options("An option of that model.", _WHO)
@option("--device", default="auto", show_default=True, group=_WHO, help="For that model.")
@no_custom_code
@data_root
@results_root
@option("--out", type=PATH, group="Output", help="The PNG.  [default: DATASET_EPISODE.png here]")
def show(
    dataset: str,
    episode: int,
    run_key: str | None,
    best: bool | None,
    model: str | None,
    data_root: Path | None,
    results_root: Path | None,
    out: Path | None,
    **given: Any,
) -> None:
    """Draw one episode as a picture.

    One PNG: supports with masks or the protocol's prompts, query, ground truth, and a prediction
    with its IoU.
    """
    from benchmarks import load_dataset
    from benchmarks.config.file import root
    from benchmarks.evaluation.again import same_episodes
    from benchmarks.evaluation.episode_mask import find_run, kept_mask
    from benchmarks.pictures.episode import Prediction, draw
    from benchmarks.results.records import read_record
    from datasets_prep.runtime.whole import whole_file

    if run_key and model:
        raise click.UsageError("--run and --model exclude each other")
    if best is not None and not run_key:
        raise click.UsageError("--best and --worst need --run")
    if run_key and (unread := given_options("protocol", "fold", "shots")):
        raise click.UsageError(f"--run says which list: leave {' and '.join(unread)} out")
    if not model and (unread := given_options("options", "device")):
        needs = "needs" if len(unread) == 1 else "need"
        raise click.UsageError(f"{' and '.join(unread)} {needs} --model")
    prepared = load_dataset(dataset, data_root)
    store = root("results_root", results_root)
    kept = None
    episodes: Sequence[Episode]
    if run_key:
        kept = find_run(store, dataset, run_key)
        record = read_record(kept.folder(store) / "run.json")
        by = get_protocol(record.setup.protocol.name)
        episodes = same_episodes(record, prepared)
    else:
        by = get_protocol(given["protocol"])
        episodes = prepared.episodes(by.recipe, given["fold"], given["shots"])
    if episode >= len(episodes):
        raise click.UsageError(f"the list has episodes 0 to {len(episodes) - 1}, not {episode}")
    if kept and best is not None:
        episode = _told(store, kept, episodes, episode, best=best)
    prediction = None
    if kept:
        prediction = Prediction(kept.model, kept_mask(store, kept, episode))
    elif model:
        prediction = _predicted(model, given, prepared, by, episodes, episode)
    path = out or Path(f"{dataset}_{episode}.png")
    with whole_file(path) as partial:
        draw(prepared, episodes[episode], prediction, by.prompt).save(partial, format="PNG")
    click.echo(f"wrote {path}")


def _told(
    results_root: Path, key: "RunKey", episodes: Sequence["Episode"], number: int, *, best: bool
) -> int:
    """List the episodes of one query and class with their IoU; the number of the first of them."""
    from benchmarks.cli.console import print_table
    from benchmarks.results.store import read_result

    counts = read_result(results_root, key).counts
    asked = episodes[number]
    alike: list[tuple[float, Episode]] = [
        (iou, episodes[other])
        for other, iou in zip(counts.episode.tolist(), counts.ious.tolist(), strict=True)
        if episodes[other].class_index == asked.class_index and episodes[other].query == asked.query
    ]
    if not alike:
        raise click.UsageError(f"{key} has no episode with the query of episode {number}")
    alike.sort(key=lambda one: -one[0] if best else one[0])
    rows = [(own.index, f"{100 * iou:.1f}", ", ".join(own.supports)) for iou, own in alike]
    print_table(("episode", "IoU", "supports"), rows, right=("episode", "IoU"))
    return alike[0][1].index


def _predicted(
    model: str,
    given: dict[str, Any],
    dataset: "PreparedDataset",
    protocol: "Protocol",
    episodes: Sequence["Episode"],
    number: int,
) -> "Prediction":
    from benchmarks.cli.options.segmenters import chosen_model, loaded
    from benchmarks.evaluation.episode_mask import predict_now
    from benchmarks.pictures.episode import Prediction

    chosen = chosen_model(model, given["options"], given["custom_code"])
    segmenter, device = loaded(chosen, given["device"])
    mask = predict_now(segmenter, device, dataset, protocol, episodes, number)
    return Prediction(chosen.name, mask)
