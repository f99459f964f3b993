"""`bench episodes`: the fixed lists, their digests and what is in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_folds,
    as_json,
    as_shots,
    data_root,
    number,
    option,
    print_json,
    protocol,
    quiet,
    together,
)
from benchmarks.protocols.catalog import get_protocol

if TYPE_CHECKING:
    from benchmarks.pictures.list_plot import Counted
    from benchmarks.protocols.lists import EpisodeList, ListStats
    from benchmarks.protocols.mask_sizes import MaskStats

_NONE = "–"
_WHICH = "Which lists"
_SHOTS = (1, 5)  # of a protocol that has lists with any number
_dataset = together(
    argument("dataset", "A prepared dataset; with --lists: pascal, coco or fss1000."),
    protocol(_WHICH, "Protocol whose lists these are."),
)
_places = together(
    option(
        "--lists",
        type=PATH,
        metavar="DIR",
        group=_WHICH,
        help="Draw them now from the published fold lists in this folder; no image and "
        "no prepared dataset is needed.",
    ),
    data_root,
)
_selection = together(
    _dataset,
    option(
        "--folds",
        "--fold",
        "folds",
        type=as_folds,
        metavar="N,...",
        group=_WHICH,
        help="Only these folds.  [default: all]",
    ),
    option(
        "--shots",
        type=as_shots,
        metavar="K,...",
        group=_WHICH,
        help="Supports an episode.  [default: 1,5, or what the protocol has]",
    ),
    _places,
)


@click.group(
    cls=VerbGroup,
    examples=(
        "bench episodes list pascal                                every prepared list",
        "bench episodes stats pascal --png stats.png               repeats, neighbours, tiny masks",
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
    from benchmarks.config.file import root
    from benchmarks.protocols.catalog import PROTOCOLS
    from datasets_prep.prepared.dataset import PreparedDataset

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
    if not rows:
        click.echo(f"no dataset is prepared in {folder}; run: bench prepare shapes")
        return
    from benchmarks.cli.console import print_table

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
@_dataset
@number("--fold", least=0, required=True, group=_WHICH, help="The fold.")
@number("--shots", required=True, group=_WHICH, help="Supports an episode.")
@_places
@option("--out", type=PATH, group="Output", help="Write to this file.  [default: stdout]")
def export(out: Path | None, fold: int, shots: int, **selection: Any) -> None:
    """Write one list as JSON lines.

    Each holds the episode's number, its class index, query image and support images.
    """
    from datasets_prep.episodes.episode import to_jsonl, write_episodes

    (found,) = _lists(folds=(fold,), shots=(shots,), **selection)
    if out is None:
        # As in the file, whatever stdout's encoding is: a name with other letters is another name.
        click.echo(to_jsonl(found.episodes).encode("utf-8"), nl=False)
    else:
        write_episodes(out, found.episodes)


@episodes.command(
    examples=(
        "bench episodes stats shapes",
        "bench episodes stats shapes --classes          episodes of every class",
        "bench episodes stats pascal -p hsnet --png pascal.png",
        "bench episodes stats pascal -p hsnet --lists splits   from list files, without masks",
    )
)
@_selection
@option("--classes", is_flag=True, group="Output", help="Episodes of every class.")
@option(
    "--masks/--no-masks",
    default=True,
    group="Output",
    help="Read every mask, for its size on the protocol's grid (default), or answer at once.",
)
@option(
    "--png",
    type=PATH,
    metavar="FILE",
    group="Output",
    help="Draw it too (pip install 'fss-bench[plots]').",
)
@as_json
@quiet
def stats(
    classes: bool, masks: bool, png: Path | None, as_json: bool, quiet: bool, **selection: Any
) -> None:
    """Count what is in the lists, and what may make them easy or odd.

    Distinct queries, images and (support, class) pairs; episodes that repeat a support, or whose
    query has a neighbour among them, such as the next frame; how balanced the classes are; and
    episodes with masks below 0.1% of the protocol's grid (tiny), or with none left on it (empty).
    """
    counted = _counted(selection, masks, quiet)
    if png is not None:
        from benchmarks.pictures.list_plot import episodes_png
        from datasets_prep.runtime.whole import write_whole

        write_whole(png, episodes_png(counted))
    if as_json:
        print_json([_as_json(*own) for own in counted])
    elif classes:
        from benchmarks.cli.console import print_table

        rows = [
            (listed.name, name, episodes)
            for listed, count, _ in counted
            for name, episodes in count.per_class.items()
        ]
        print_table(("list", "class", "episodes"), rows, right=("episodes",))
    else:
        _print_stats(counted)


def _counted(selection: dict[str, Any], masks: bool, quiet: bool) -> "list[Counted]":
    """The chosen lists with what is in them; masks and neighbours need a prepared dataset."""
    from benchmarks import load_dataset
    from benchmarks.cli.console import progress
    from benchmarks.protocols.consecutive import places
    from benchmarks.protocols.lists import stats as count
    from benchmarks.protocols.mask_sizes import mask_stats, masks_of, shares

    lists = list(_lists(**selection))
    if selection["lists"] is not None:
        return [(listed, count(listed), None) for listed in lists]
    dataset = load_dataset(selection["dataset"], selection["data_root"])
    known = places(dataset.image_ids)
    if not masks:
        return [(listed, count(listed, known), None) for listed in lists]
    share = shares(dataset, get_protocol(selection["protocol"]))
    named = masks_of(lists)
    with progress(quiet=quiet) as shown:
        for done, (image, index) in enumerate(named):
            share(image, index)
            shown.update("masks", done + 1, len(named))
    return [(listed, count(listed, known), mask_stats(listed, share)) for listed in lists]


def _as_json(
    listed: "EpisodeList", count: "ListStats", masks: "MaskStats | None"
) -> dict[str, Any]:
    from dataclasses import asdict

    found = {"list": listed.name, "recipe": listed.recipe, "digest": listed.digest}
    return {**found, **asdict(count), "masks": masks and asdict(masks)}


def _print_stats(counted: "Sequence[Counted]") -> None:
    from benchmarks.cli.console import print_table

    headers = (
        *("list", "episodes", "queries", "images", "pairs", "repeated", "neighbours"),
        *("classes", "a class", "tiny queries", "empty queries", "tiny supports", "empty supports"),
    )
    rows = [
        (
            listed.name,
            count.episodes,
            count.queries,
            count.images,
            count.pairs,
            count.repeated,
            _NONE if count.neighbours is None else count.neighbours,
            len(count.per_class),
            f"{min(count.per_class.values())}–{max(count.per_class.values())}",
            *_sizes(masks),
        )
        for listed, count, masks in counted
    ]
    print_table(headers, rows, right=headers[1:])


def _sizes(masks: "MaskStats | None") -> tuple[object, ...]:
    if masks is None:
        return (_NONE,) * 4
    return masks.tiny_queries, masks.empty_queries, masks.tiny_supports, masks.empty_supports


@episodes.command(examples=("bench episodes verify pascal",))
@argument("dataset", "A prepared dataset.")
@data_root
def verify(dataset: str, data_root: Path | None) -> None:
    """Check every prepared list.

    Its digest must be as prepared and as published, and its images and classes must be there.
    """
    from benchmarks import load_dataset
    from benchmarks.errors import BenchError
    from benchmarks.protocols.lists import problems

    prepared = load_dataset(dataset, data_root)
    wrong = []
    for key in sorted(prepared.manifest["episodes"]):
        recipe, _, part = key.partition("/")
        fold, _, shots = part.removeprefix("fold").removesuffix("shot").partition("_")
        found = prepared.episodes(recipe, int(fold), int(shots))
        wrong += [f"{key}: {problem}" for problem in problems(found, prepared, int(fold))[:3]]
    if wrong:
        raise BenchError("\n".join(wrong))
    click.echo(f"{dataset}: all {len(prepared.manifest['episodes'])} episode lists hold")


def _lists(
    dataset: str,
    protocol: str,
    folds: Sequence[int] | None,
    shots: Sequence[int] | None,
    lists: Path | None,
    data_root: Path | None,
) -> Iterator["EpisodeList"]:
    from benchmarks import load_dataset
    from benchmarks.protocols.lists import drawn_lists, prepared_lists
    from datasets_prep.episodes.recipes import SHOTS, check_shots

    recipe = get_protocol(protocol).recipe
    shots = shots or SHOTS.get(recipe, _SHOTS)
    for count in shots:
        check_shots(recipe, count)
    if lists is not None:
        return drawn_lists(dataset, lists, recipe, shots, folds)
    return prepared_lists(load_dataset(dataset, data_root), recipe, shots, folds)
