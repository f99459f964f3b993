"""`bench report`: one model in one setting, looked at closely."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import PATH, argument, boards, data_root, option, results_root
from benchmarks.errors import BenchError
from datasets_prep.runtime.whole import write_whole

if TYPE_CHECKING:
    from benchmarks.results.store import Result
    from datasets_prep.prepared.dataset import PreparedDataset
    from leaderboards.statistics.shots import Curve


@click.command(
    cls=Verb,
    examples=(
        "bench report shapes/dense-nn                  all its shots, a folder each",
        "bench report shapes/dense-nn/fold0_1shot      one fold at one shot",
    ),
)
@argument("name", "A model or run: parts of its path.")
@option(
    "--out",
    type=PATH,
    default=Path("reports"),
    show_default=True,
    group="Output",
    help="Folder for a folder with report.html and PNGs.",
)
@results_root
@boards
@data_root
def report(
    name: str, out: Path, results_root: Path | None, boards: Path, data_root: Path | None
) -> None:
    """Write a report of a run as a web page and PNGs.

    Class IoU with intervals, how the IoU of episodes is spread and how it depends on the object's
    size, the best, median and worst episodes, times and what the cache saved; and of a model at
    three numbers of shots or more, what a doubling of them brings. Sizes need the prepared dataset,
    pictures of episodes a run with --save-predictions.
    """
    from benchmarks import load_dataset
    from benchmarks.config.file import root
    from datasets_prep.errors import DatasetError
    from leaderboards.committed.collect import Places

    places = Places(root("results_root", results_root), boards / "results")
    models: dict[str, dict[int, list[Result]]] = {}
    for result in places.named([name]):
        key = result.key
        model = models.setdefault(f"{key.dataset}_{key.protocol}_{key.model}", {})
        model.setdefault(key.shots, []).append(result)
    for model_name, by_shots in models.items():
        curve = _curve([result for results in by_shots.values() for result in results])
        for shots, results in by_shots.items():
            try:
                data = load_dataset(results[0].key.dataset, data_root)
            except DatasetError as error:
                click.echo(f"without sizes and pictures: {error}", err=True)
                data = None
            folder = out / f"{model_name}_{shots}shot"
            click.echo(_write(folder, results, data, places.store, curve))


def _curve(results: Sequence["Result"]) -> "Curve | None":
    from leaderboards.statistics.scores import settings
    from leaderboards.statistics.shots import shot_curves

    found = shot_curves(settings(results))
    return found[0].curves[0] if found else None


def _write(
    folder: Path,
    results: Sequence["Result"],
    data: "PreparedDataset | None",
    store: Path,
    curve: "Curve | None",
) -> Path:
    from leaderboards.page.report import draw_plots, report_page

    sizes = _sizes(results, data) if data else None
    drawn = draw_plots(results, sizes, curve)
    pictures = _pictures(results, data, store) if data else {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, png) in drawn.items():
        (folder / name).write_bytes(png)
    for (fold, episode), png in pictures.items():
        (folder / f"fold{fold}_{episode:06d}.png").write_bytes(png)
    page = folder / "report.html"
    write_whole(page, report_page(results, drawn, pictures, curve))
    return page


def _sizes(
    results: Sequence["Result"], data: "PreparedDataset"
) -> Mapping[tuple[int, int], float] | None:
    """The query object's share of its image; None where the data are not those of the run."""
    digests = (data.digest, data.labels_digest)
    if any(result.record.setup.dataset.digest not in digests for result in results):
        click.echo("without sizes: the dataset was prepared anew since the run", err=True)
        return None
    shares: dict[tuple[str, int], float] = {}
    sizes = {}
    for result in results:
        counts = result.counts
        for number, index, query in zip(
            counts.episode.tolist(), counts.class_id.tolist(), result.queries, strict=True
        ):
            if (query, index) not in shares:
                shares[query, index] = float((data.mask(query, index) == 1).mean())
            sizes[result.key.fold, number] = shares[query, index]
    return sizes


def _pictures(
    results: Sequence["Result"], data: "PreparedDataset", store: Path
) -> dict[tuple[int, int], bytes]:
    """The telling episodes, as `bench show` draws them, where the run kept its masks."""
    import io

    from benchmarks.evaluation.again import same_episodes
    from benchmarks.evaluation.episode_mask import kept_mask, no_pictures
    from benchmarks.pictures.episode import Prediction, draw
    from benchmarks.protocols.catalog import get_protocol
    from benchmarks.results.kept_masks import keeps
    from leaderboards.page.report import episodes_of, telling

    lacking = {result.key: no_pictures(store, result) for result in results}
    for text in dict.fromkeys(filter(None, lacking.values())):
        click.echo(f"without pictures: {text}", err=True)
    by_fold = {
        result.key.fold: result
        for result in results
        if lacking[result.key] is None and keeps(result.key.folder(store))
    }
    try:
        lists = {fold: same_episodes(result.record, data) for fold, result in by_fold.items()}
    except BenchError as error:
        click.echo(f"without pictures: {error}", err=True)
        return {}
    pictures = {}
    for episodes in telling(episodes_of(results)).values():
        for found in episodes:
            if found.fold not in by_fold:
                continue
            key = by_fold[found.fold].key
            episode = lists[found.fold][found.number]
            prediction = Prediction(key.model, kept_mask(store, key, found.number))
            prompt = get_protocol(by_fold[found.fold].record.setup.protocol.name).prompt
            buffer = io.BytesIO()
            draw(data, episode, prediction, prompt).save(buffer, format="PNG")
            pictures[found.key] = buffer.getvalue()
    return pictures
