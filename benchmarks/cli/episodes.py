"""`bench episodes`: the fixed lists, their digests and what is in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.layout import VerbGroup
from benchmarks.cli.params import (
    PATH,
    F,
    argument,
    as_folds,
    as_json,
    as_shots,
    data_root,
    option,
    print_json,
)
from benchmarks.protocols import DEFAULT_PROTOCOL, get_protocol

if TYPE_CHECKING:
    from benchmarks.lists import EpisodeList
    from datasets_prep.prepared import PreparedDataset

_PROTOCOL = option(
    "--protocol",
    "-p",
    default=DEFAULT_PROTOCOL,
    show_default=True,
    metavar="NAME",
    group="Which lists",
    help="Protocol whose lists these are.",
)
_FOLDS = option(
    "--folds",
    "--fold",
    "folds",
    type=as_folds,
    metavar="N,...",
    group="Which lists",
    help="Only these folds.  [default: all]",
)
_SHOTS = option(
    "--shots",
    type=as_shots,
    metavar="K,...",
    default="1,5",
    show_default=True,
    group="Which lists",
    help="Supports an episode.",
)
_LISTS = option(
    "--lists",
    type=PATH,
    metavar="DIR",
    group="Which lists",
    help="Draw them now from the published fold lists in this folder; no image and "
    "no prepared dataset is needed.",
)
_DATASET = argument("dataset", "A prepared dataset; with --lists: pascal, coco or fss1000.")


def _selection(function: F) -> F:
    """The options that say which lists are meant."""
    for decorate in (data_root, _LISTS, _SHOTS, _FOLDS, _PROTOCOL, _DATASET):
        function = decorate(function)
    return function


@click.group(
    cls=VerbGroup,
    examples=(
        "bench episodes list pascal                                every prepared list",
        "bench episodes stats pascal --protocol hsnet              repeats, class balance",
        "bench episodes digest pascal --protocol hsnet --lists DIR  from list files alone",
        "bench episodes export pascal --fold 0 --shots 5 --out f.jsonl",
        "bench episodes verify pascal                              check every list",
    ),
)
def episodes() -> None:
    """Look at the fixed episode lists.

    They are drawn when a dataset is prepared, and named by the digest of their text.
    """


@episodes.command("list", examples=("bench episodes list", "bench episodes list pascal --json"))
@argument("dataset", "Only this dataset.", required=False)
@data_root
@as_json
def list_(dataset: str | None, data_root: Path | None, as_json: bool) -> None:
    """List the prepared lists with their digests."""
    from benchmarks.configfile import root
    from benchmarks.protocols import PROTOCOLS
    from datasets_prep.prepared import PreparedDataset

    folder = root("data_root", data_root)
    names = [dataset] if dataset else sorted(p.parent.name for p in folder.glob("*/manifest.json"))
    rows = []
    for name in names:
        for key, entry in sorted(PreparedDataset(folder, name).manifest["episodes"].items()):
            recipe, _, part = key.partition("/")
            used_by = [p.name for p in PROTOCOLS.values() if p.recipe == recipe]
            rows.append(
                {"dataset": name, "list": part, "protocols": used_by, "recipe": recipe, **entry}
            )
    if as_json:
        print_json(rows)
        return
    from benchmarks.console import print_table

    print_table(
        ("dataset", "protocols", "list", "episodes", "digest"),
        [
            (r["dataset"], ", ".join(r["protocols"]), r["list"], r["episodes"], r["digest"])
            for r in rows
        ],
        right=("episodes",),
    )


@episodes.command(examples=("bench episodes digest pascal --protocol hsnet --lists splits",))
@_selection
def digest(**selection: Any) -> None:
    """Print one line a list.

    Dataset, fold, shots, number of episodes and sha256; lists that are published must match.
    """
    for found in _lists(**selection):
        click.echo(
            f"{found.dataset} fold{found.fold} {found.shots}shot "
            f"{len(found.episodes)} {found.digest}"
        )


@episodes.command(
    examples=(
        "bench episodes export pascal --protocol hsnet --fold 0 --shots 5 > list.jsonl",
        "bench episodes export pascal --protocol hsnet --fold 0 --shots 5 --lists splits --out f",
    )
)
@_selection
@option("--out", type=PATH, group="Output", help="Write to this file.  [default: stdout]")
def export(out: Path | None, **selection: Any) -> None:
    """Write one list as JSON lines.

    Each holds the episode's number, its class index, query image and support images.
    """
    from datasets_prep.episodes.episode import to_jsonl, write_episodes

    if len(selection["folds"] or ()) != 1 or len(selection["shots"]) != 1:
        raise click.UsageError("one list is exported at a time: give one --fold and one --shots")
    (found,) = _lists(**selection)
    if out is None:
        click.echo(to_jsonl(found.episodes), nl=False)
    else:
        write_episodes(out, found.episodes)


@episodes.command(examples=("bench episodes stats shapes", "bench episodes stats shapes --classes"))
@_selection
@option("--classes", is_flag=True, group="Output", help="Episodes of every class.")
@as_json
def stats(classes: bool, as_json: bool, **selection: Any) -> None:
    """Count what is in the lists.

    Distinct queries, images and (support, class) pairs, episodes that repeat a support, and how
    balanced the classes are.
    """
    from dataclasses import asdict

    from benchmarks.lists import stats as count

    counted = [(found, count(found)) for found in _lists(**selection)]
    if as_json:
        print_json(
            [
                {"list": f.name, "recipe": f.recipe, "digest": f.digest, **asdict(s)}
                for f, s in counted
            ]
        )
        return
    from benchmarks.console import print_table

    if classes:
        rows = [
            (f.name, name, episodes) for f, s in counted for name, episodes in s.per_class.items()
        ]
        print_table(("list", "class", "episodes"), rows, right=("episodes",))
        return
    headers = ("list", "episodes", "queries", "images", "pairs", "repeated", "classes", "a class")
    print_table(
        headers,
        [
            (
                f.name,
                s.episodes,
                s.queries,
                s.images,
                s.pairs,
                s.repeated,
                len(s.per_class),
                f"{min(s.per_class.values())}–{max(s.per_class.values())}",
            )
            for f, s in counted
        ],
        right=headers[1:],
    )


@episodes.command(examples=("bench episodes verify pascal",))
@argument("dataset", "A prepared dataset.")
@data_root
def verify(dataset: str, data_root: Path | None) -> None:
    """Check every prepared list.

    Its digest must be as prepared and as published, and its images and classes must be there.
    """
    from benchmarks.errors import BenchError
    from benchmarks.lists import problems

    prepared = _open(dataset, data_root)
    wrong = []
    for key in sorted(prepared.manifest["episodes"]):
        recipe, _, part = key.partition("/")
        fold, _, shots = part.removeprefix("fold").removesuffix("shot").partition("_")
        found = prepared.episodes(recipe, int(fold), int(shots))
        wrong += [f"{key}: {problem}" for problem in problems(found, prepared, int(fold))[:3]]
    if wrong:
        raise BenchError("\n".join(wrong))
    click.echo(f"{dataset}: all {len(prepared.manifest['episodes'])} episode lists hold")


def _open(dataset: str, data_root: Path | None) -> "PreparedDataset":
    from benchmarks.configfile import root
    from datasets_prep.prepared import PreparedDataset

    return PreparedDataset(root("data_root", data_root), dataset)


def _lists(
    dataset: str,
    protocol: str,
    folds: Sequence[int] | None,
    shots: Sequence[int],
    lists: Path | None,
    data_root: Path | None,
) -> Iterator["EpisodeList"]:
    from benchmarks.lists import drawn_lists, prepared_lists

    recipe = get_protocol(protocol).recipe
    if lists is not None:
        return drawn_lists(dataset, lists, recipe, shots, folds)
    return prepared_lists(_open(dataset, data_root), recipe, shots, folds)
