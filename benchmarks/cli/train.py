"""`bench train`: a checkpoint from the base classes of a fold."""

from pathlib import Path
from typing import Any

import click

from benchmarks.cli import train_diffews
from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import number, offline, option
from benchmarks.cli.options.training import of_training, train_fold
from benchmarks.cli.train_diffews import tell

_MODEL, _HOW = "Model", "How to train it"


@click.group(
    cls=VerbGroup,
    examples=(
        "bench train hsnet --dataset shapes --fold 0 --steps 1000 --out hsnet/fold0",
        "bench train diffews -d coco --fold 0 --config coco20i --from sd21 --out diffews-coco0",
    ),
)
def train() -> None:
    """Train a model on base classes."""


@train.command(
    examples=(
        "bench train hsnet -d pascal --fold 0 --steps 30000 --out hsnet/fold0 --device cuda",
        "bench train hsnet -d shapes --fold 0 --steps 200 --backbone tiny --out tiny",
        "bench run --models hsnet --datasets pascal --option 'weights=hsnet/fold{fold}/best'",
    )
)
@train_fold
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
@number(
    "--size",
    group=_MODEL,
    help="Side of the square images in pixels: 400 or a multiple of 32.  [400; tiny: 64]",
)
@number("--steps", required=True, group=_HOW, help="Batches.")
@number("--batch-size", default=20, group=_HOW, help="Episodes a step.")
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
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    group=_HOW,
    help="Of the episodes and of the first weights.",
)
@number(
    "--save-every",
    default=1000,
    group=_HOW,
    help="Steps between two savings and validations; the last step has both.",
)
@number(
    "--validate",
    "validation",
    default=100,
    least=0,
    group=_HOW,
    help="Episodes of held-out images that choose best/; 0 leaves only last/.",
)
@offline
@of_training
def hsnet(data_root: Path | None, out: Path, quiet: bool, **given: Any) -> None:
    """Train HSNet's learner.

    The backbone stays as it is. Episodes are drawn from the fold's training list by the seed, so
    that the same command trains on the same episodes everywhere: every image and class of it is
    the query once in a round. Every twentieth image, video or patient is held out (class, where
    images of each are few), and best/ is what does best on them. A finished training goes on with
    --resume and more --steps.
    """
    from benchmarks.cli.console import progress
    from benchmarks.config.file import root
    from benchmarks.train.hsnet import HSNetJob, authors_config, train_hsnet

    config = authors_config(
        **{name: given.pop(name) for name in ("steps", "batch_size", "rate", "seed", "save_every")}
    )
    how = {name: given.pop(name) for name in ("device", "threads", "resume", "tensorboard")}
    job = HSNetJob(data_root=root("data_root", data_root), train=config, **given)
    with progress(quiet=quiet) as shown:
        trained = train_hsnet(job, out, shown, **how)
    if not quiet:
        tell(trained, out)


for stage in (train_diffews.vae, train_diffews.unet, train_diffews.diffews):
    train.add_command(stage)
