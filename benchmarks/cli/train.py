"""`bench train`: a checkpoint from the base classes of a fold."""

from pathlib import Path
from typing import Any

import click

from benchmarks.cli import train_diffews
from benchmarks.cli.layout import VerbGroup
from benchmarks.cli.params import (
    PATH,
    data_root,
    decoding_threads,
    offline,
    option,
    quiet,
    train_dataset,
    train_fold,
)

_DATA, _MODEL, _HOW = "What to train on", "Model", "How to train it"


@click.group(
    cls=VerbGroup,
    examples=(
        "bench train hsnet --dataset shapes --fold 0 --steps 1000 --out hsnet/fold0.pt",
        "bench train diffews -d coco --fold 0 --config coco20i --from sd21 --out diffews-coco0",
    ),
)
def train() -> None:
    """Train a model on base classes."""


@train.command(
    examples=(
        "bench train hsnet -d pascal --fold 0 --steps 30000 --out hsnet/fold0.pt --device cuda",
        "bench train hsnet -d shapes --fold 0 --steps 200 --backbone tiny --out tiny.pt",
        "bench run --models hsnet --datasets pascal --option 'weights=hsnet/fold{fold}.pt'",
    )
)
@train_dataset
@train_fold
@data_root
@option(
    "--backbone",
    default="resnet50",
    show_default=True,
    metavar="NAME",
    group=_MODEL,
    help="resnet50, resnet101, vgg16; or tiny: random, to try it out.",
)
@option(
    "--weights",
    metavar="PATH_OR_ID",
    group=_MODEL,
    help="The backbone's; by default those that bench models fetch NAME brings.",
)
@option(
    "--size",
    type=click.IntRange(1),
    metavar="N",
    group=_MODEL,
    help="Side of the square images in pixels: 400 or a multiple of 32.  [400; tiny: 64]",
)
@option("--steps", required=True, type=click.IntRange(1), metavar="N", group=_HOW, help="Batches.")
@option(
    "--batch-size",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    group=_HOW,
    help="Episodes a step.",
)
@option(
    "--rate",
    default=1e-3,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    group=_HOW,
    help="Adam's learning rate.",
)
@option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    group=_HOW,
    help="Of the episodes and of the first weights.",
)
@option(
    "--save-every",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    group=_HOW,
    help="Steps between two savings; the last step is saved too.",
)
@option(
    "--validate",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    group=_HOW,
    help="Episodes of held-out images that choose the best saving; 0 keeps the last.",
)
@option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    group=_HOW,
    help="auto, cpu, cuda or cuda:N.",
)
@decoding_threads
@offline
@option(
    "--out",
    required=True,
    type=PATH,
    metavar="FILE",
    group="Output",
    help="The best checkpoint. FILE.state beside it is what a training goes on from.",
)
@quiet
def hsnet(data_root: Path | None, out: Path, quiet: bool, **given: Any) -> None:
    """Train HSNet's learner.

    The backbone stays as it is. Episodes are drawn from the fold's training list by the seed, so
    that the same command trains on the same episodes everywhere. Two images in twenty of each base
    class are held out, and the best checkpoint is the one that does best on them. A training that
    was interrupted goes on with the same command, a finished one with more --steps.
    """
    from benchmarks.configfile import root
    from benchmarks.console import progress
    from benchmarks.training import Training, train_hsnet

    training = Training(data_root=root("data_root", data_root), **given)
    with progress(quiet=quiet) as shown:
        done = train_hsnet(training, out, shown)
    if not quiet:
        click.echo(f"wrote {out}; loss of the last {done.steps} steps {done.loss:.4f}")
        if done.score is not None:
            click.echo(f"best at step {done.best}: mIoU {100 * done.score:.1f} on held-out images")


for stage in (train_diffews.vae, train_diffews.unet, train_diffews.diffews):
    train.add_command(stage)
