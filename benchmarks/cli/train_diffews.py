"""`bench train vae`, `unet` and `diffews`: the three stages of a diffusion segmenter."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import PATH, option
from benchmarks.cli.options.training import of_job, train_fold

if TYPE_CHECKING:
    from benchmarks.train.trainer import Trained

_MODEL = "Model"


@click.command(
    cls=Verb,
    examples=("bench train vae -d shapes --config tiny-vae --out tiny/vae",),
)
@of_job(
    "A checkpoint whose vae/ is trained on, in diffusers' layout.",
    "crop=96 or train.steps=1000",
    required=False,
)
def vae(**given: Any) -> None:
    """Train a VAE on unlabelled images.

    It sees the images of all folds' training lists, and no mask.
    """
    _train("vae", fold=None, image_encoder=None, latents=None, **given)


@click.command(
    cls=Verb,
    examples=(
        "bench train unet -d shapes --config tiny-unet --from tiny/vae/best --out tiny/unet",
    ),
)
@of_job(
    "A checkpoint with a trained vae/, which is all that is read of it.",
    "size=small or train.steps=1000",
)
def unet(**given: Any) -> None:
    """Train a U-Net to generate images.

    It learns as Stable Diffusion did, from the images of all folds' training lists, without any
    mask.
    """
    _train("unet", fold=None, image_encoder=None, latents=None, **given)


@click.command(
    cls=Verb,
    examples=(
        "bench train diffews -d coco --fold 0 --config coco20i --from sd21 --out diffews-coco0",
        "bench train diffews -d coco --fold 0 --config coco20i --from sd21 --out mi2m "
        "--set design.generation=mi2m --set design.noise_schedule=strong",
        "bench train diffews -d shapes --fold 0 --config tiny-diffews --from tiny/unet/best "
        "--out tiny/fold0",
    ),
)
@of_job(
    "A Stable Diffusion 2.x or another DiffewS, in diffusers' layout.",
    "train.steps=1000 or design.generation=mi2m",
)
@train_fold
@option(
    "--image-encoder",
    type=PATH,
    metavar="DIR",
    group=_MODEL,
    help="CLIP for design.interaction=tokenized_cross_attention.",
)
@option(
    "--latents",
    type=PATH,
    metavar="DIR",
    group="Places",
    help="Keep the VAE's latents here, by image: later trainings begin with them.",
)
def diffews(**given: Any) -> None:
    """Train DiffewS on episodes of a fold's base classes.

    Starts from a Stable Diffusion 2.x folder, or from another DiffewS. Episodes, noise and
    timesteps of a step are drawn from its number and the seed, so that a resumed training, and
    one over several processes, learns from the same. Every twentieth image, video or patient is
    held out, and validated on.
    """
    _train("diffews", **given)


def _train(stage: Any, out: Path, quiet: bool, **given: Any) -> None:
    from benchmarks.cli.console import progress
    from benchmarks.config.file import root
    from benchmarks.train.job import load_job
    from benchmarks.train.launch import Places, run_job

    job = load_job(given.pop("config"), given.pop("changes"), stage)
    how = {name: given.pop(name) for name in ("device", "threads", "resume", "tensorboard")}
    places = Places(data_root=root("data_root", given.pop("data_root")), out=out, **given)
    with progress(quiet=quiet) as shown:
        trained = run_job(stage, job, places, shown, **how)
    if not quiet:
        tell(trained, out)


def tell(trained: "Trained", out: Path) -> None:
    """Print how a training ended."""
    if not trained.leads:
        return
    if trained.loss is None:
        click.echo(f"{out} is trained to its last step already")
        return
    best = "" if trained.best is None else f", best validation {trained.best:.4f}"
    took = f"{trained.seconds:.0f} s on {trained.processes} process(es)"
    click.echo(f"wrote {out}: loss {trained.loss:.4f}{best}, {took}")
