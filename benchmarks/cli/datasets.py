"""`bench datasets`: what is prepared, and whether it still holds."""

from pathlib import Path
from textwrap import fill
from typing import Any

import click

from benchmarks.cli.leaks import leaks
from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import argument, as_json, data_root, option, print_json, quiet


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    examples=(
        "bench datasets                       what is prepared, and how to prepare the rest",
        "bench datasets verify pascal         compare its files with its manifest",
        "bench datasets verify pascal --full  also hash and decode every image",
        "bench datasets leaks coco pascal     images and classes that both have",
    ),
)
@data_root
@as_json
@click.pass_context
def datasets(ctx: click.Context, data_root: Path | None, as_json: bool) -> None:
    """List the datasets, verify or compare them.

    The list says of every dataset what is prepared, the room it takes, for which protocols and
    numbers of supports it has episode lists, what is missing, and the command that brings it.
    """
    from benchmarks.cli.inventory import group_lines, inventory
    from benchmarks.config.file import root

    if ctx.invoked_subcommand is not None:
        ctx.obj = data_root
        return
    entries = inventory(root("data_root", data_root))
    if as_json:
        print_json(entries)
        return
    from benchmarks.cli.console import print_table

    headers = ("dataset", "on disk", "images", "classes", "folds", "digest", "lists")
    rows = [_row(entry) for entry in entries if entry["prepared"]]
    if rows:
        print_table(headers, rows, right=headers[1:5])
    missing = [(e["dataset"], "; ".join(e["missing"])) for e in entries if e["missing"]]
    if missing:
        print_table(
            ("dataset", "missing"),
            [(name, fill(text, 84, break_on_hyphens=False)) for name, text in missing],
        )
    for line in group_lines(entries):
        click.echo(line)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    from benchmarks.cli.inventory import gigabytes

    counts = (f"{entry[key]:,}" for key in ("images", "classes", "folds"))
    by_shots: dict[str, list[str]] = {}
    for protocol, shots in entry["protocols"].items():
        by_shots.setdefault(",".join(map(str, shots)), []).append(protocol)
    lists = (f"{shots}-shot: {', '.join(names)}" for shots, names in by_shots.items())
    wrapped = "\n".join(fill(line, 44) for line in lists)
    return entry["dataset"], gigabytes(entry["bytes"]), *counts, entry["digest"][:12], wrapped


@datasets.command(
    examples=("bench datasets verify shapes", "bench datasets verify pascal --full"),
)
@argument("name", "A prepared dataset.")
@option("--full", is_flag=True, help="Also hash and decode every image and label map.")
@data_root
@quiet
@click.pass_context
def verify(ctx: click.Context, name: str, full: bool, data_root: Path | None, quiet: bool) -> None:
    """Compare a prepared dataset with its manifest."""
    from benchmarks import load_dataset
    from benchmarks.cli.console import progress
    from benchmarks.errors import BenchError
    from datasets_prep.prepared.dataset import prepare_command
    from datasets_prep.prepared.prepare import verify as verify_dataset

    dataset = load_dataset(name, data_root or ctx.obj)
    with progress(quiet=quiet) as shown:
        wrong = verify_dataset(dataset, full=full, progress=shown)
    if wrong:
        raise BenchError("\n".join([*wrong, f"mend it with: {prepare_command(name)}"]))
    if not quiet:
        checked = "every file, image and label map" if full else "every file of the manifest"
        click.echo(f"{name}: {checked} is as prepared")


datasets.add_command(leaks)
