"""`bench datasets`: what is prepared, and whether it still holds."""

from pathlib import Path
from typing import Any

import click

from benchmarks.cli.layout import VerbGroup
from benchmarks.cli.leaks import leaks
from benchmarks.cli.params import argument, as_json, data_root, option, print_json, quiet


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
    """List the datasets, or verify one."""
    from benchmarks.configfile import root

    if ctx.invoked_subcommand is not None:
        ctx.obj = data_root
        return
    entries = _entries(root("data_root", data_root))
    if as_json:
        print_json(entries)
        return
    from benchmarks.console import print_table

    headers = ("dataset", "images", "classes", "folds", "lists", "digest", "")
    rows = [
        (e["dataset"], e["images"], e["classes"], e["folds"], e["lists"], e["digest"][:12], "")
        if e["prepared"]
        else (e["dataset"], "", "", "", "", "", f"not prepared; run: {e['command']}")
        for e in entries
    ]
    print_table(headers, rows, right=("images", "classes", "folds"))


def _entries(data_root: Path) -> list[dict[str, Any]]:
    from datasets_prep.catalog import DATASETS
    from datasets_prep.prepared import PreparedDataset

    prepared = sorted(path.parent.name for path in data_root.glob("*/manifest.json"))
    entries: list[dict[str, Any]] = []
    builders = set()
    for name in prepared:
        manifest = PreparedDataset(data_root, name).manifest
        builders.add(manifest["builder"]["name"])
        counts = manifest["counts"]
        entries.append(
            {
                "dataset": name,
                "prepared": True,
                "builder": manifest["builder"],
                "images": counts["images"],
                "classes": counts["classes"],
                "folds": counts["folds"],
                "lists": manifest["lists"],
                "episode_lists": sorted(manifest["episodes"]),
                "digest": manifest["digest"],
                "notes": manifest["notes"],
            }
        )
    missing = [name for name in DATASETS if name not in builders]
    return entries + [
        {"dataset": name, "prepared": False, "command": f"bench prepare {name}"} for name in missing
    ]


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
    from benchmarks.configfile import root
    from benchmarks.console import progress
    from benchmarks.errors import BenchError
    from datasets_prep.prepare import verify as verify_dataset
    from datasets_prep.prepared import PreparedDataset

    dataset = PreparedDataset(root("data_root", data_root or ctx.obj), name)
    with progress(quiet=quiet) as shown:
        wrong = verify_dataset(dataset, full=full, progress=shown)
    if wrong:
        raise BenchError("\n".join([*wrong, f"mend it with: bench prepare {name}"]))
    if not quiet:
        checked = "every file, image and label map" if full else "every file of the manifest"
        click.echo(f"{name}: {checked} is as prepared")


datasets.add_command(leaks)
