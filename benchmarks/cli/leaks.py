"""`bench datasets leaks`: what of a test was perhaps seen before."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    argument,
    as_json,
    boards,
    data_root,
    given_options,
    number,
    option,
    print_json,
    quiet,
)

if TYPE_CHECKING:
    from datasets_prep.leaks.fingerprints import Prints
    from datasets_prep.leaks.report import Leak, Match
    from datasets_prep.prepared.dataset import PreparedDataset

_FOUND, _NONE = 1, "–"


@click.command(
    "leaks",
    cls=Verb,
    examples=(
        "bench datasets leaks pascal                 training against test part of every fold",
        "bench datasets leaks coco pascal            what of pascal is in coco",
        "bench datasets leaks coco pascal --exact    by the files' recorded hashes, at once",
    ),
)
@argument("name", "A prepared dataset.")
@argument("other", "Another one, whose images and classes are looked for in it.", required=False)
@option("--exact", is_flag=True, group="What to compare", help="Only equal files; decode nothing.")
@option(
    "--distance",
    type=click.IntRange(0, 256),
    metavar="BITS",
    default=32,
    show_default=True,
    group="What to compare",
    help="Bits of 256 in which the looks of near duplicates may differ.",
)
@number(
    "--jobs",
    "-j",
    group="How",
    help="Processes that decode.  [default: one for each processor]",
)
@number("--show", least=0, default=5, group="Output", help="Images to name of each kind of match.")
@option(
    "--note",
    is_flag=True,
    group="Output",
    help="Keep the numbers of parts that are wholly prepared in the boards' leaks.json: rows show "
    "them.",
)
@boards
@data_root
@as_json
@quiet
@click.pass_context
def leaks(
    ctx: click.Context,
    name: str,
    other: str | None,
    exact: bool,
    distance: int,
    jobs: int | None,
    show: int,
    note: bool,
    boards: Path,
    data_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Look for tested images and classes that may have been seen before.

    Of one dataset, the test part of every fold is looked for in its training part, and copies
    inside of the test part; of two, every part of the second in every part of the first. An image
    is the same if both parts name it, equal if its pixels (--exact: its file) are those of one of
    another name, alike if it looks like one; classes match by name. The exit code is 1 if
    anything matches.
    """
    from datasets_prep.leaks.report import between, within

    if exact and (unread := given_options("distance", "jobs")):
        raise click.UsageError(f"--exact compares files alone and reads no {unread[0]}")
    opened = _opened(name, other, data_root or ctx.obj)
    prints = _prints(opened, exact, jobs or os.cpu_count() or 1, quiet)
    if other is None:
        found = within(opened[0], prints[0], distance)
    else:
        found = between(opened[0], prints[0], opened[1], prints[1], distance)
    if note:
        from leaderboards.statistics.seen import note_leaks

        kept = [
            (k.seen, k.tested, k.images, len(k.same) + len(k.equal) + len(k.near))
            for k in found
            if k.whole
        ]
        path = note_leaks(boards, name, other or name, kept)
        click.echo(f"noted in {path}", err=True)
    if as_json:
        from dataclasses import asdict

        print_json([asdict(leak) for leak in found])
    else:
        _print(found, show)
    ctx.exit(_FOUND if any(found) else 0)


def _opened(name: str, other: str | None, data_root: Path | None) -> "list[PreparedDataset]":
    from benchmarks import load_dataset

    if name == other:
        raise click.UsageError(f"{name} is named twice; name it once to compare its own parts")
    return [load_dataset(each, data_root) for each in (name, other) if each is not None]


def _prints(opened: "list[PreparedDataset]", exact: bool, jobs: int, quiet: bool) -> "list[Prints]":
    from benchmarks.cli.console import progress
    from datasets_prep.leaks.fingerprints import decoded_prints, stored_prints

    if exact:
        return [stored_prints(dataset) for dataset in opened]
    with progress(quiet=quiet) as shown:
        return [decoded_prints(dataset, jobs, shown) for dataset in opened]


def _print(found: "list[Leak]", show: int) -> None:
    from benchmarks.cli.console import print_table

    headers = ("seen", "tested", "images", "same", "equal", "alike", "classes", "copies")
    rows = []
    for leak in found:
        met = [len(m) if leak.compared else _NONE for m in (leak.same, leak.equal, leak.near)]
        rows.append(
            (leak.seen, leak.tested, leak.images, *met, len(leak.classes), len(leak.copies))
        )
    print_table(headers, rows, right=headers[2:])
    for seen, leak in {leak.seen: leak for leak in found if not leak.whole}.items():
        what = "only these were" if leak.compared else "nothing was"
        of = f"{leak.compared} of its {leak.named} images are prepared"
        click.echo(f"{seen}: {of}, {what} compared")
    for leak in found:
        for verb, matches in (("equals", leak.equal), ("looks like", leak.near)):
            for match in matches[:show]:
                click.echo(f"{leak.tested}: {_match(match, verb)} of {leak.seen}")
        for match in leak.copies[:show]:
            click.echo(f"{leak.tested}: {_match(match, 'equals')} of the same part")
    for classes, leak in {leak.classes: leak for leak in reversed(found) if leak.classes}.items():
        click.echo(f"{leak.tested}: classes by name in {leak.seen}: {', '.join(classes)}")


def _match(match: "Match", verb: str) -> str:
    bits = "" if match.distance is None else f" ({match.distance} bits differ)"
    return f"{match.tested} {verb} {match.seen}{bits}"
