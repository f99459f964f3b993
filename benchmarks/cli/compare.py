"""`bench compare`: is one model better than another, by how much, and where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_json,
    boards,
    data_root,
    number,
    option,
    print_json,
    results_root,
)

if TYPE_CHECKING:
    from benchmarks.results.store import Result, RunKey
    from datasets_prep.episodes.episode import Episode
    from leaderboards.statistics.comparison import Comparison


@click.command(
    "compare",
    cls=Verb,
    examples=(
        "bench compare dense-nn prototype                     wherever both were measured",
        "bench compare shapes/dense-nn shapes/prototype       on one dataset",
        "bench compare dense-nn prototype random              every two, with Holm's correction",
        "bench compare dense-nn prototype --pictures DIR      and what differs most, drawn",
    ),
)
@argument(
    "names",
    "Models or runs, measured here or committed: parts of their path.",
    nargs=-1,
    required=True,
)
@option("--dataset", "-d", group="Which results", help="Only on this dataset.")
@option("--protocol", "-p", group="Which results", help="Only by this protocol.")
@number("--shots", "-k", metavar="K", group="Which results", help="Only at K shots.")
@option(
    "--pictures",
    type=PATH,
    metavar="DIR",
    group="Output",
    help="Draw the episodes that differ most; both runs need --save-predictions.",
)
@results_root
@boards
@data_root
@as_json
def command(
    names: Sequence[str],
    dataset: str | None,
    protocol: str | None,
    shots: int | None,
    pictures: Path | None,
    results_root: Path | None,
    boards: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Compare models episode by episode.

    Shows the difference in mIoU with its 95% interval, a paired permutation test, episodes won
    and lost, and for two models every class and the episodes that differ most. The model that is
    named first is a. Models that were measured on different data or episodes are refused.
    """
    from dataclasses import asdict

    from benchmarks.config.file import root
    from leaderboards.committed.collect import Places
    from leaderboards.statistics.comparison import compare_all

    places = Places(root("results_root", results_root), boards / "results")
    found = places.named(names, dataset=dataset, protocol=protocol, shots=shots)
    asked = [result.key.model for result in found]

    def order(result: "Result") -> tuple[int, str, str, int]:
        key = result.key
        return asked.index(key.model), key.dataset, key.protocol, key.shots

    comparisons = compare_all(sorted(found, key=order), lambda text: click.echo(text, err=True))
    if as_json:
        print_json([asdict(comparison) for comparison in comparisons])
    else:
        _print(comparisons)
    if pictures is not None:
        results = {result.key: result for result in found}
        for comparison in comparisons:
            _draw(comparison, results, pictures, data_root, places.store)


def _print(comparisons: Sequence["Comparison"]) -> None:
    from benchmarks.cli.console import print_table

    numbers = ("a", "b", "a - b (95%)", "FB-IoU (95%)", "p", "p (Holm)", "won", "tied", "lost")
    rows = [
        (
            own.setting + own.part,
            f"{own.a} - {own.b}",
            f"{100 * own.a_miou:.1f}",
            f"{100 * own.b_miou:.1f}",
            own.miou.signed(),
            own.fb_iou.signed(),
            f"{own.p:.4f}",
            f"{own.adjusted_p:.4f}",
            own.wins,
            own.ties,
            own.losses,
        )
        for own in comparisons
    ]
    print_table(("setting", "a - b", *numbers), rows, title="mIoU in percent", right=numbers)
    for text in dict.fromkeys(
        f"{own.setting}: {what}" for own in comparisons for what in own.mixed
    ):
        click.echo(text)
    if len({(own.a, own.b) for own in comparisons}) > 1:
        return
    for own in comparisons:
        classes = [
            (c.name, f"{100 * c.a:.1f}", f"{100 * c.b:.1f}", c.difference.signed())
            for c in own.classes
        ]
        figures = (own.a, own.b, "difference (95%)")
        print_table(("class", *figures), classes, title=f"{own.setting}: class IoU", right=figures)
        episodes = [
            (e.fold, e.episode, e.class_name, e.query, f"{100 * e.a:.1f}", f"{100 * e.b:.1f}")
            for e in own.episodes
        ]
        print_table(
            ("fold", "episode", "class", "query", own.a, own.b),
            episodes,
            title=f"{own.setting}: episodes that differ most",
            right=("fold", "episode", own.a, own.b),
        )


def _draw(
    comparison: "Comparison",
    results: "Mapping[RunKey, Result]",
    folder: Path,
    data_root: Path | None,
    store: Path,
) -> None:
    """One picture for each model and episode, as `bench show` draws them."""
    from benchmarks import load_dataset
    from benchmarks.evaluation.again import same_episodes
    from benchmarks.evaluation.episode_mask import kept_mask, no_pictures
    from benchmarks.pictures.episode import Prediction, draw
    from benchmarks.protocols.catalog import get_protocol
    from benchmarks.results.store import RunKey

    dataset = load_dataset(comparison.dataset, data_root)
    lists: dict[RunKey, Sequence[Episode]] = {}
    said: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for found in comparison.episodes:
        for model in (comparison.a, comparison.b):
            key = RunKey(comparison.dataset, comparison.folder, model, found.fold, comparison.shots)
            if key not in lists:
                lacking = no_pictures(store, results[key])
                lists[key] = () if lacking else same_episodes(results[key].record, dataset)
                if lacking and lacking not in said:
                    said.add(lacking)
                    click.echo(lacking, err=True)
            if not lists[key]:
                continue
            episode = lists[key][found.episode]
            prediction = Prediction(model, kept_mask(store, key, found.episode))
            prompt = get_protocol(results[key].record.setup.protocol.name).prompt
            place = f"{key.dataset}_{key.protocol}_{key.shots}shot_fold{key.fold}"
            name = f"{place}_{found.episode:06d}_{model}.png"
            draw(dataset, episode, prediction, prompt).save(folder / name, format="PNG")
            click.echo(f"wrote {folder / name}", err=True)
