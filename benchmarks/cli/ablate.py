"""`bench ablate`: the design questions of a model, asked at one budget."""

from pathlib import Path
from typing import Any

import click

from benchmarks.cli.options.layout import Verb, VerbGroup
from benchmarks.cli.options.params import PATH, as_names, data_root, number, option, quiet
from benchmarks.cli.options.training import (
    changes,
    config,
    decoding_threads,
    device,
    out,
    start,
    train_dataset,
    train_fold,
)
from benchmarks.train.questions import TRAININGS

_MODEL, _HOW, _OUT = "Model", "How to train it", "Output"


@click.group(
    cls=VerbGroup,
    examples=("bench ablate diffews -d shapes --fold 0 --from tiny/unet/best --out ablation",),
)
def ablate() -> None:
    """Ask a model's design questions."""


@ablate.command(
    cls=Verb,
    examples=(
        "bench ablate diffews -d shapes --fold 0 --from tiny/unet/best --out ablation",
        "bench ablate diffews -d shapes --fold 0 --from tiny/unet/best --out ablation "
        "--only default,mi2m --seeds 5",
        "bench ablate diffews -d coco --fold 0 --from sd21 --config coco20i --device cuda "
        "--out ablation-coco",
    ),
)
@train_dataset
@train_fold
@data_root
@start("The Stable Diffusion that every row starts from.", required=True)
@option(
    "--image-encoder",
    type=PATH,
    metavar="DIR",
    group=_MODEL,
    help="CLIP for tokenized_cross_attention; without it a small one is trained from scratch.",
)
@config("Settings of every row; see bench train diffews --list-settings.", "tiny-ablation")
@changes("train.steps=1000")
@number("--seeds", default=3, group=_HOW, help="Trainings of each row.")
@number("--limit", default=300, group=_HOW, help="Episodes of each score: the first of fixed-v1.")
@option(
    "--only",
    metavar="NAMES",
    callback=lambda ctx, param, value: as_names(value) if value else (),
    group=_HOW,
    help=f"Only these trainings, so that several processes may share the table: "
    f"{', '.join(TRAININGS)}.",
)
@device("Where to train and score.")
@decoding_threads
@out("Folder of trainings and results; the same command goes on with it.")
@option(
    "--page",
    type=PATH,
    default=Path("leaderboards/boards/diffews-design.md"),
    show_default=True,
    metavar="FILE",
    group=_OUT,
    help="The table as markdown, written once every row is there.",
)
@quiet
def diffews(quiet: bool, page: Path, device: str, threads: int, **given: Any) -> None:
    """Train and rank DiffewS' designs.

    The questions are interaction, mask injection, supervision, generation and shots. Every row is
    the paper's choice with one answer changed, or two where CLIP's tokens stand for the supports,
    and learns from as many episodes in as many steps. An interrupted table goes on with the same
    command.
    """
    from benchmarks.cli.console import progress
    from benchmarks.config.file import root
    from benchmarks.engines.listener import ProgressListener
    from benchmarks.train.ablation import Ablation, ablate
    from benchmarks.train.job import load_job
    from leaderboards.tables.design import write_design_page

    only = given.pop("only")
    job = load_job(given.pop("config"), given.pop("changes"), "ablate")
    data_root = root("data_root", given.pop("data_root"))
    ablation = Ablation(data_root=data_root, job=job, **given)
    with progress(quiet=quiet) as shown:
        listener = ProgressListener(shown)
        table = ablate(ablation, shown, listener, device=device, threads=threads, only=only)
    if table is None:
        click.echo(f"trained {', '.join(only)}; other rows are missing, and no page is written")
        return
    write_design_page(table, page)
    click.echo(f"wrote {table} and {page}")
