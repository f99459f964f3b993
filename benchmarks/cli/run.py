"""`bench run`: the run matrix."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import (
    PATH,
    as_folds,
    as_json,
    as_names,
    as_shots,
    data_root,
    no_custom_code,
    number,
    offline,
    option,
    print_json,
    quiet,
    results_root,
)

if TYPE_CHECKING:
    from benchmarks.config.overrides import Overrides
    from benchmarks.config.schema import BenchConfig
    from benchmarks.engines.run import Outcome
    from benchmarks.results.shards import Shard
    from benchmarks.results.store import Unfinished


EPISODES_FAILED = 3  # the exit code of a matrix in which a run has no score
_NAMED = 5  # failed episodes that a message names

_WHAT, _MODEL, _HOW = "What to run", "Models", "How to run it"
_WHERE = "Where to run it"


@click.command(
    cls=Verb,
    examples=(
        "bench run                                            all that bench.yaml holds",
        "bench run --dry-run                                  what that would be",
        "bench run --datasets pascal --protocol hsnet --shots 1 --models dense-nn,floors",
        "bench run --models prototype --option backbone=resnet50 --name prototype-r50",
        "bench run --datasets pascal --model-from my_model.py:Mine --option layers=3",
        "bench run --models diffews --checkpoint sd21 --unet unet-14000 --device cuda",
        "bench run --limit 20 --save-predictions              the first 20 episodes of each list",
        "bench run --workers 4 --device cuda                  a process on each of four GPUs",
        "bench run --engine ray --address auto                every GPU of a Ray cluster",
    ),
)
@option(
    "--config",
    "-c",
    type=PATH,
    group=_WHAT,
    metavar="FILE",
    help="The run matrix.  [default: bench.yaml here, if there is one]",
)
@option(
    "--datasets",
    "-d",
    type=as_names,
    metavar="A,B,...",
    group=_WHAT,
    help="Prepared datasets, or the group cdfss.",
)
@option("--protocol", "-p", metavar="NAME", group=_WHAT, help="Protocol for all of them.")
@option("--shots", "-k", type=as_shots, metavar="K,...", group=_WHAT, help="Supports an episode.")
@option("--folds", type=as_folds, metavar="N,...", group=_WHAT, help="Only these folds, from 0.")
@number(
    "--limit",
    group=_WHAT,
    help="Only the first N episodes of each list; kept apart from whole results.",
)
@option(
    "--models",
    "-m",
    type=as_names,
    metavar="A,B,...",
    group=_MODEL,
    help="Models, or the groups floors and all.",
)
@option(
    "--model-from",
    metavar="SPEC",
    group=_MODEL,
    help="Your own segmenter: module:Class, or file.py[:Class].",
)
@option("--name", group=_MODEL, help="Name under which the one model keeps its results.")
@option(
    "--checkpoint", group=_MODEL, metavar="PATH_OR_ID", help="The same as --option checkpoint=..."
)
@option("--unet", group=_MODEL, metavar="PATH_OR_ID", help="The same as --option unet=...")
@option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="[MODEL.]KEY=VALUE",
    group=_MODEL,
    help="An option of one model, or of every chosen model that has it.",
)
@option("--device", metavar="NAME", group=_HOW, help="auto, cpu, cuda or cuda:N.")
@option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    group=_HOW,
    help="Numbers that the model computes with.",
)
@option(
    "--batch-size",
    metavar="N",
    group=_HOW,
    help="Episodes a batch; auto halves when GPU memory runs out.",
)
@option(
    "--cache-size",
    metavar="SIZE",
    group=_HOW,
    help="Memory for features that are used again, such as 2GB.",
)
@number(
    "--threads",
    group=_HOW,
    help="Threads that decode images ahead.",
)
@option(
    "--resume/--fresh",
    default=True,
    group=_HOW,
    help="Go on where earlier runs stopped (default), or measure all again.",
)
@option(
    "--save-predictions",
    is_flag=True,
    default=None,
    group=_HOW,
    help="Keep every predicted mask as PNG.",
)
@number(
    "--workers",
    group=_WHERE,
    help="Processes, one on each device.  [default: this one; with ray the whole cluster]",
)
@number(
    "--worker-threads",
    group=_WHERE,
    help="Threads that each computes with.  [default: OMP_NUM_THREADS, or a share of all]",
)
@option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    group=_WHERE,
    help="This machine, or a Ray cluster.",
)
@option(
    "--address",
    metavar="WHERE",
    group=_WHERE,
    help="Of the cluster: auto or ray://host:port.  [default: one is started here]",
)
@option(
    "--shard",
    metavar="I/N",
    group=_WHERE,
    help="Measure only the Ith of N parts of every run; bench merge puts them together.",
)
@no_custom_code
@data_root
@results_root
@offline
@option("--show-config", is_flag=True, group="Output", help="Print what would run, as YAML.")
@option(
    "--dry-run",
    is_flag=True,
    group="Output",
    help="Print the plan: episodes, images, pairs, and encodes that the cache saves.",
)
@as_json
@quiet
def run(
    config: Path | None,
    resume: bool,
    shard: str | None,
    show_config: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure models on datasets.

    Every model runs on every dataset, fold and shot of the matrix. Finished runs are skipped and
    broken ones go on where they stopped. What the command line does not say is taken from the
    configuration.

    An episode on which a model fails is named and kept apart: its run has no score, the command
    ends with exit code 3, and the same command tries the episode again.
    """
    from benchmarks.config.file import load_config, to_yaml
    from benchmarks.config.overrides import apply, check_address
    from benchmarks.results.shards import Shard

    overrides = _overrides(given)
    matrix = apply(load_config(config), overrides)
    if show_config:
        click.echo(to_yaml(matrix), nl=False)
        return
    _check_chosen(matrix)
    if dry_run:
        _print_plan(matrix, as_json)
        return
    check_address(matrix, overrides)
    part = Shard.parse(shard) if shard is not None else None
    outcomes = _measure(matrix, resume, part, quiet)
    if as_json:
        print_json([_as_json(outcome) for outcome in outcomes])
    elif part is not None:
        click.echo(f"shard {part} of {len(outcomes)} runs; with all of them there: bench merge")
    else:
        _print_results(outcomes)
        _print_answers(outcomes, matrix.results_root)
    unfinished = [outcome.unfinished for outcome in outcomes if outcome.unfinished]
    if unfinished:
        click.echo("\n".join(map(_failures, unfinished)), err=True)
        sys.exit(EPISODES_FAILED)


def _overrides(given: dict[str, Any]) -> "Overrides":
    from benchmarks.config.overrides import Overrides

    options = list(given.pop("options"))
    options += [
        f"{key}={value}" for key in ("checkpoint", "unet") if (value := given.pop(key)) is not None
    ]
    names = ("datasets", "protocol", "folds", "shots", "models", "model_from", "name", "cache_size")
    return Overrides(options=options, **{key: given.pop(key) for key in names}, fields=given)


def _check_chosen(matrix: "BenchConfig") -> None:
    for kind in ("datasets", "models"):
        if not getattr(matrix, kind):
            raise click.UsageError(f"no {kind} to run: name some with --{kind} or in bench.yaml")


def _measure(
    matrix: "BenchConfig", resume: bool, shard: "Shard | None", quiet: bool
) -> list["Outcome"]:
    from benchmarks.cli.console import progress
    from benchmarks.cli.options.segmenters import import_from_here
    from benchmarks.config.matrix import open_datasets
    from benchmarks.engines.listener import ProgressListener
    from benchmarks.engines.runner import run_matrix
    from benchmarks.protocols.seen_classes import class_notes

    import_from_here(matrix.models)
    prepared = open_datasets(matrix)
    with progress(quiet=quiet) as shown:
        for note in dict.fromkeys(class_notes(matrix, prepared)):
            shown.note(note)
        listener = ProgressListener(shown)
        return run_matrix(
            matrix, resume="resume" if resume else "fresh", listener=listener, shard=shard
        )


def _print_plan(matrix: "BenchConfig", as_json: bool) -> None:
    from dataclasses import asdict

    from benchmarks.cli.console import print_table
    from benchmarks.config.matrix import plan_matrix

    plan = plan_matrix(matrix)
    if as_json:
        print_json([asdict(p) | {"key": str(p.key)} for p in plan])
        return
    headers = ("run", "status", "episodes", "images", "pairs", "encodes", "without cache", "saved")
    rows = []
    for p in plan:
        encodes, naive = p.images + p.pairs, p.naive_image_encodes + p.naive_support_encodes
        saved = f"{1 - encodes / naive:.0%}"
        rows.append((p.key, p.status, p.episodes, p.images, p.pairs, encodes, naive, saved))
    print_table(headers, rows, right=headers[2:])


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    body: dict[str, Any] = {"run": str(outcome.key), "status": outcome.status}
    if outcome.record is not None:
        body |= outcome.record.model_dump(mode="json")
    if outcome.unfinished is not None:
        own = outcome.unfinished
        body |= {"episodes": own.episodes, "measured": own.measured, "failed": dict(own.failed)}
    return body


def _failures(run: "Unfinished") -> str:
    named = [f"  episode {number}: {run.failed[number]}" for number in sorted(run.failed)[:_NAMED]]
    more = len(run.failed) - len(named)
    return "\n".join(
        [
            f"{click.style('error:', fg='red', bold=True)} {run.key} has no score, {run}:",
            *named,
            *([f"  and {more} more"] if more else []),
            "  the same command tries them again and leaves the rest as it is",
        ]
    )


def _print_answers(outcomes: list["Outcome"], results_root: Path) -> None:
    """What protocols with a question of their own report beside mIoU."""
    from benchmarks.cli.console import print_table
    from benchmarks.evaluation.questions import ANSWERS, HEADS
    from benchmarks.results.evaluation import evaluations
    from benchmarks.results.store import read_result

    asked = [o.key for o in outcomes if o.record and o.record.setup.episodes.recipe in ANSWERS]
    tables: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for own in evaluations(read_result(results_root, key) for key in asked):
        figures = [f"{100 * value:.1f}" for value in own.answers.values()]
        row = (own.dataset, own.protocol, own.model, own.shots, *figures)
        tables.setdefault(tuple(own.answers), []).append(row)
    for names, rows in tables.items():
        heads = [HEADS[name] for name in names]
        keys = ("dataset", "protocol", "model", "shots")
        print_table((*keys, *heads), rows, right=("shots", *heads))


def _print_results(outcomes: list["Outcome"]) -> None:
    from benchmarks.cli.console import print_table

    headers = ("dataset", "protocol", "model", "shots", "mIoU", "FB-IoU", "folds")
    groups: dict[tuple[str, str, str, int], list[Outcome]] = {}
    for o in outcomes:
        key = (o.key.dataset, o.key.protocol, o.key.model, o.key.shots)
        groups.setdefault(key, []).append(o)
    rows = []
    for key, runs in groups.items():
        folds = "  ".join(
            f"{o.key.fold}: {100 * o.record.miou:.1f}" if o.record else f"{o.key.fold}: {o.status}"
            for o in runs
        )
        records = [o.record for o in runs if o.record]
        whole = len(records) == len(runs)
        mean = [
            f"{100 * sum(figures) / len(runs):.1f}" if whole else "–"
            for figures in ([r.miou for r in records], [r.fb_iou for r in records])
        ]
        rows.append((*key, *mean, folds))
    print_table(headers, rows, right=("shots", "mIoU", "FB-IoU"))
