"""`bench prepare`: from archives to a prepared dataset."""

import ast
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import Argument, Option, Verb, VerbGroup
from benchmarks.cli.options.params import (
    PATH,
    as_shots,
    data_root,
    number,
    option,
    quiet,
    together,
)
from datasets_prep import catalog
from models.registry import Registry, unknown

if TYPE_CHECKING:
    from datasets_prep.builder import Builder
    from datasets_prep.prepared.dataset import PreparedDataset
    from datasets_prep.prepared.prepare import PrepareOptions

_COMMON = together(
    data_root,
    option(
        "--from",
        "from_dir",
        type=PATH,
        group="Places",
        help="Folder with archives, or what they unpack to, that you already have.",
    ),
    option(
        "--shots",
        type=as_shots,
        metavar="K,...",
        default="1,5",
        show_default=True,
        group="Preparation",
        help="Shots for which episode lists are drawn.",
    ),
    number(
        "--jobs",
        "-j",
        group="Preparation",
        help="Processes to use.  [default: one for each processor]",
    ),
    option(
        "--embed-images",
        is_flag=True,
        group="Preparation",
        help="Keep the images' bytes in the table instead of paths to their files.",
    ),
    option(
        "--skip-bad",
        is_flag=True,
        group="Preparation",
        help="Leave out single images and annotations that are wrong, instead of stopping; their "
        "names enter the manifest and change the digest.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        group="Preparation",
        help="Only say what would be fetched and built, and what room it needs.",
    ),
    quiet,
)


class _Datasets(VerbGroup):
    """One command for each dataset of the catalog, made from its builder's options."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every dataset that can be prepared."""
        return list(catalog.DATASETS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        """The command of one dataset; its builder is imported only when it is asked for."""
        if name in catalog.GROUPS:
            members = ", ".join(catalog.GROUPS[name])
            raise click.UsageError(f"{name} stands for {members}: prepare each of them", ctx)
        if name not in catalog.DATASETS:
            raise click.UsageError(unknown("dataset", name, catalog.DATASETS), ctx)
        return _command(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the datasets without importing any."""
        with formatter.section("Datasets"):
            formatter.write_dl(
                [(name, summary(target)) for name, target in catalog.DATASETS.items()]
            )


def summary(target: str) -> str:
    """The first line of a module's documentation, read from its file: importing it is slow."""
    spec = importlib.util.find_spec(target.partition(":")[0])
    if spec is None or spec.origin is None:
        return ""
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (text or "").partition("\n")[0]


@click.group(
    cls=_Datasets,
    subcommand_metavar="DATASET [OPTIONS]",
    examples=(
        "bench prepare shapes                       the embedded dataset, nothing to download",
        "bench prepare pascal --dry-run             what would be fetched, and what room it needs",
        "bench prepare pascal --from ~/Downloads    with archives or folders that you have",
        "bench prepare folder my_data --name mine --classes cat,dog --folds 2",
        "bench prepare folder --help                the options of one dataset",
    ),
)
def prepare() -> None:
    """Make a dataset ready to run.

    Fetches or generates it, checks it, and draws its episode lists.

    The same archives give the same bytes on every machine. Preparation is atomic: a crash leaves
    the former state, and downloads go on where they stopped.
    """


def _command(name: str) -> Verb:
    from benchmarks.cli.options.fields import parameters

    cls = Registry("dataset", catalog.DATASETS)[name]
    own = parameters(cls.Options, "Dataset")
    needed = " ".join(
        [p.make_metavar(click.Context(prepare)) for p in own if isinstance(p, Argument)]
        + [f"{p.opts[0]} ..." for p in own if isinstance(p, Option) and p.required]
    )
    command = f"bench prepare {name} {needed}".rstrip()

    def run(**given: Any) -> None:
        _run(cls, given)

    verb: Verb = click.command(
        name,
        cls=Verb,
        help=f"Prepare {name}: {cls.summary}.",
        examples=(command, f"{command} --dry-run"),
    )(_COMMON(run))
    verb.params[:0] = own
    return verb


def _run(cls: Any, given: dict[str, Any]) -> None:
    from benchmarks.cli.console import progress
    from benchmarks.cli.options.fields import flags, parse
    from benchmarks.config.file import root
    from datasets_prep.prepared.prepare import PrepareOptions
    from datasets_prep.prepared.prepare import prepare as prepare_dataset

    dry_run, silent, jobs = given.pop("dry_run"), given.pop("quiet"), given.pop("jobs")
    options = PrepareOptions(
        data_root=root("data_root", given.pop("data_root")),
        from_dir=given.pop("from_dir"),
        jobs=jobs or os.cpu_count() or 1,
        embed_images=given.pop("embed_images"),
        shots=given.pop("shots"),
        skip_bad=given.pop("skip_bad"),
        again=flags(cls.Options, given),
    )
    builder = cls(parse(cls.Options, given))
    if dry_run:
        _print_plan(builder, options)
        return
    with progress(quiet=silent) as shown:
        prepared = prepare_dataset(builder, options, shown)
    if not silent:
        _print_prepared(prepared)


def _print_plan(builder: "Builder", options: "PrepareOptions") -> None:
    from benchmarks.cli.console import print_table
    from datasets_prep.archives.sources import plan

    place = options.data_root / builder.dataset
    planned = plan(builder.sources(), place / "raw", options.from_dir)
    if planned:
        rows = [
            (p.name, p.state, _megabytes(p.fetch_bytes), _megabytes(p.disk_bytes), p.path or "")
            for p in planned
        ]
        print_table(
            ("source", "state", "to fetch", "on disk", "found"), rows, right=("to fetch", "on disk")
        )
    else:
        click.echo("nothing to fetch")
    needed = builder.disk_needed() + sum(p.disk_bytes for p in planned)
    click.echo(f"would be prepared in {place}, using about {_megabytes(needed)} more there")


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:,.0f} MB"


def _print_prepared(dataset: "PreparedDataset") -> None:
    manifest = dataset.manifest
    counts = manifest["counts"]
    click.echo(
        f"{dataset.name}: {counts['images']:,} images, {counts['classes']} classes, "
        f"{counts['folds']} folds, {len(manifest['episodes'])} episode lists in {dataset.root}\n"
        f"digest {manifest['digest']}"
    )
    for note in manifest["notes"]:
        click.echo(f"note: {note}")
