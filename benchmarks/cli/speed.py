"""`bench speed`: a model with its features cached, beside everything encoded afresh."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_json,
    given_options,
    model_options,
    no_custom_code,
    number,
    option,
    quiet,
    results_root,
)

if TYPE_CHECKING:
    from benchmarks.speed import SpeedReport
    from datasets_prep.episodes.episode import Episode

_DTYPE = "fp32"


@click.command(
    cls=Verb,
    examples=(
        "bench speed diffews --size tiny --shots 5",
        "bench speed diffews --size sd21 --shots 1 --sample 3    full size, random weights",
        "bench speed dense-nn --episodes list.jsonl --json       of bench episodes export",
    ),
)
@argument("model", "A model of the suite, module:Class, or a file.", metavar="MODEL")
@option("--size", metavar="NAME", help="Random weights of this size (diffews: tiny or sd21).")
@number("--shots", "-k", metavar="K", default=1, help="Supports, where no list is given.")
@option(
    "--episodes",
    type=PATH,
    metavar="FILE",
    help="An episode list (JSON lines).  [default: one as repetitive as PASCAL-5i's fold 0]",
)
@number("--sample", help="Run N episodes, and compose the whole list's time from their stages.")
@number("--batch-size", help="Episodes a batch.")
@option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@model_options("Of the model.")
@no_custom_code
@results_root
@as_json
@quiet
def speed(
    model: str,
    size: str | None,
    shots: int,
    episodes: Path | None,
    sample: int | None,
    batch_size: int | None,
    device: str,
    options: Sequence[str],
    custom_code: bool | None,
    results_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure a model on an episode list with generated images.

    The cached path encodes each image and each (image, mask) once, the naive path encodes all of
    them for every episode, as published code does. Both run in turns in one process; `ratio` is
    naive over cached time. The result is kept in the results store, where it replaces none of
    another list, or with other options, hardware or versions.
    """
    from benchmarks.cli.console import progress
    from benchmarks.cli.options.segmenters import chosen_model, loaded
    from benchmarks.config.file import root
    from benchmarks.speed import measure, naive_path
    from benchmarks.speed.kept import keep, place, setting

    drawn = _drawn(episodes, shots)
    sized = [f"random={size}"] if size is not None else []
    if size == "tiny" and model == "diffews":
        sized.append("resolution=64")
    wanted = chosen_model(model, [*sized, *options], custom_code)
    segmenter, where = loaded(wanted, device, _DTYPE)
    name = wanted.name if size is None else f"{wanted.name}-{size}"
    source = episodes.stem if episodes is not None else "pascal-like"
    now = setting(
        wanted,
        segmenter,
        drawn,
        device=where,
        dtype=_DTYPE,
        sample=sample,
        batch_size=batch_size,
    )
    store = root("results_root", results_root)
    path = place(store, name, source, len(drawn[0].supports), now)
    total, done = len(drawn[:sample]), 0
    with progress(quiet=quiet or as_json) as shown:

        def advanced(more: int) -> None:
            nonlocal done
            done += more
            shown.update("episodes, both ways", done, total)

        report = measure(
            segmenter,
            drawn,
            naive_path(segmenter),
            device=where,
            sample=sample,
            batch_size=batch_size,
            advanced=advanced,
        )
    keep(path, report, name, source, now)
    if as_json:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    _print(report, path)


def _drawn(path: Path | None, shots: int) -> "list[Episode]":
    """The list in a file, with as many supports as --shots says if it does; or the usual list."""
    from benchmarks.errors import BenchError
    from benchmarks.speed.episodes import usual_list
    from datasets_prep.episodes.episode import read_episodes

    if path is None:
        return usual_list(shots)
    drawn = read_episodes(path)
    if not drawn:
        raise BenchError(f"{path} holds no episodes; write a list with: bench episodes export")
    if given_options("shots") and len(drawn[0].supports) != shots:
        raise click.UsageError(
            f"{path} is a {len(drawn[0].supports)}-shot list: leave --shots out, or name a list "
            f"of bench episodes export --shots {shots}"
        )
    return drawn


def _print(report: "SpeedReport", path: Path) -> None:
    from benchmarks.cli.console import print_table

    rows = [(stage, f"{1000 * seconds:,.2f} ms") for stage, seconds in report.stages.items()]
    rows += [
        ("naive, the whole list", f"{report.naive_seconds:,.1f} s"),
        ("cached, the whole list", f"{report.cached_seconds:,.1f} s"),
        ("ratio", f"{report.ratio:.2f}"),
        ("pixels that differ", f"{report.different_pixels:,} of {report.pixels:,}"),
        ("peak memory", f"{report.peak_memory_bytes / 1e6:,.0f} MB"),
        ("cache peak", f"{report.cache_peak_bytes / 1e6:,.0f} MB"),
        *((f"features, {kind}", f"{n:,} bytes") for kind, n in report.feature_bytes.items()),
    ]
    title = f"{report.sample:,} of {report.episodes:,} episodes, {report.shots}-shot; {path}"
    print_table(("what", "value"), rows, title=title, right=("value",))
