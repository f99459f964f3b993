"""`bench export`: a prepared dataset for programs that know nothing of this suite."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import PATH, argument, data_root, number, option, quiet

if TYPE_CHECKING:
    from datasets_prep.export.folder import Format

_MEGABYTE = 10**6


@click.command(
    cls=Verb,
    examples=(
        "bench export pascal                              ./pascal-parquet",
        "bench export pascal --format webdataset --out /big/pascal-tars",
        "bench export camvid --push-to-hub me/camvid      to a private repository of the hub",
    ),
)
@argument("name", "A prepared dataset.")
@option(
    "--format",
    type=click.Choice(["parquet", "webdataset"]),
    default="parquet",
    show_default=True,
    group="Output",
    help="Tables for datasets.load_dataset, or tars of samples, which it opens too.",
)
@option("--out", type=PATH, metavar="DIR", group="Output", help="A new folder.  [NAME-FORMAT]")
@number("--shard-size", metavar="MB", default=500, group="Output", help="Size of a file, about.")
@option(
    "--push-to-hub",
    metavar="OWNER/NAME",
    group="Hub",
    help="Push the Parquet files to this dataset repository too.",
)
@option("--public", is_flag=True, group="Hub", help="Make a new repository public.")
@data_root
@quiet
def export(
    name: str,
    format: "Format",
    out: Path | None,
    shard_size: int,
    push_to_hub: str | None,
    public: bool,
    data_root: Path | None,
    quiet: bool,
) -> None:
    """Write a dataset for others to open.

    The folder holds images, labels, folds and episode lists. It appears when it is whole; an
    export that was broken off goes on with the same command. Before pushing it anywhere, read the
    licences of its images and labels.
    """
    from benchmarks import load_dataset
    from benchmarks.cli.console import progress
    from datasets_prep.export.folder import export as write
    from datasets_prep.export.hub import push

    if push_to_hub is not None and format != "parquet":
        raise click.UsageError("--push-to-hub pushes Parquet: leave --format out")
    if public and push_to_hub is None:
        raise click.UsageError("--public says how to push: name a repository with --push-to-hub")
    dataset = load_dataset(name, data_root)
    folder = out or Path(f"{name}-{format}")
    with progress(quiet=quiet) as shown:
        new = write(dataset, folder, format, shard_bytes=shard_size * _MEGABYTE, progress=shown)
        if push_to_hub is not None:
            push(folder, push_to_hub, private=not public)
    if not quiet:
        images = f"{len(dataset.image_ids):,} images"
        click.echo(f"{folder}: {images}" + ("" if new else ", written before and left as it is"))
        if push_to_hub is not None:
            click.echo(f"pushed to https://huggingface.co/datasets/{push_to_hub}")
