"""`bench merge`: shards that were measured apart, made into results."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import PATH, argument, as_json, print_json, results_root


@click.command(
    cls=Verb,
    examples=(
        "bench run --shard 1/2 && bench run --shard 2/2       anywhere, in any order",
        "bench merge                                          where they share a results store",
        "bench merge node1/results node2/results              where they do not",
    ),
)
@argument("stores", "Further results stores that hold shards.", nargs=-1, type=PATH)
@results_root
@as_json
def merge(stores: Sequence[Path], results_root: Path | None, as_json: bool) -> None:
    """Put together what `bench run --shard` measured.

    All shards of a run must be there, measured with the same setup and the same code; else
    nothing is written and what differs or is missing is named. The shards stay where they are.
    """
    from benchmarks.cli.console import print_table
    from benchmarks.config.file import root
    from benchmarks.results import merge as merging

    merged = merging.merge(root("results_root", results_root), stores)
    if as_json:
        print_json(
            [
                {"run": str(m.key), "shards": m.shards, **m.record.model_dump(mode="json")}
                for m in merged
            ]
        )
        return
    headers = ("run", "shards", "mIoU", "FB-IoU")
    rows = [
        (m.key, m.shards or "there", f"{100 * m.record.miou:.1f}", f"{100 * m.record.fb_iou:.1f}")
        for m in merged
    ]
    print_table(headers, rows, right=headers[1:])
