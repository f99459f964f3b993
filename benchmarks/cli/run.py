"""`bench run`: the run matrix."""

import json
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
    metrics,
    no_custom_code,
    number,
    offline,
    option,
    print_json,
    quiet,
    results_root,
)
from benchmarks.cli.outcomes import failures, outcome_json, print_answers, print_results
from benchmarks.protocols.catalog import PROMPTS

if TYPE_CHECKING:
    from benchmarks.config.overrides import Overrides
    from benchmarks.config.schema import BenchConfig
    from benchmarks.engines.run import Outcome
    from benchmarks.engines.runner import LeftOut
    from benchmarks.results.journal import Resume
    from benchmarks.results.shards import Shard


EPISODES_FAILED = 3  # the exit code of a matrix in which a run has no score

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
@option(
    "--prompt",
    type=click.Choice(["mask", *PROMPTS]),
    group=_WHAT,
    help="What a model gets of a support's mask; part of the protocol's name, as in fixed-v1+box.",
)
@option("--shots", "-k", type=as_shots, metavar="K,...", group=_WHAT, help="Supports an episode.")
@option("--folds", type=as_folds, metavar="N,...", group=_WHAT, help="Only these folds, from 0.")
@number(
    "--limit",
    group=_WHAT,
    help="Only the first N episodes of each list; kept apart, as PROTOCOL-firstN.",
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
@option(
    "--trained-on",
    multiple=True,
    metavar="[MODEL=]DATASET[:FOLD]",
    group=_MODEL,
    help="What the weights were trained on, where the checkpoint does not say it; {fold} is filled "
    "in.",
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
@number("--threads", group=_HOW, help="Threads that decode images ahead.")
@option(
    "--resume/--fresh",
    default=True,
    group=_HOW,
    help="Go on where earlier runs stopped (default), or measure all again.",
)
@metrics
@option(
    "--save-predictions",
    type=click.Choice(["png", "rle"]),
    is_flag=False,
    flag_value="png",
    default=None,
    group=_HOW,
    help="Keep every predicted mask as PNG (default), or all in one table of run lengths.",
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
    help="Print the plan: episodes, images, pairs, and encodes that the cache saves in each run "
    "by itself; what runs share comes on top.",
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
    ends with exit code 3, and the same command tries the episode again. A model that cannot be
    loaded is left out, and so is a run that was begun with other code or options, or that does not
    fit into memory: after the others the command says why and ends with exit code 2.
    """
    from benchmarks.config.file import to_yaml
    from benchmarks.config.overrides import check_address
    from benchmarks.results.shards import Shard

    matrix, overrides = matrix_of(config, given)
    if show_config:
        click.echo(to_yaml(matrix), nl=False)
        return
    _check_chosen(matrix)
    if dry_run:
        _print_plan(matrix, as_json)
        return
    check_address(matrix, overrides)
    part = Shard.parse(shard) if shard is not None else None
    outcomes, left_out = _measure(matrix, resume, part, quiet)
    if as_json:
        print_json([outcome_json(outcome, matrix.results_root) for outcome in outcomes])
    elif part is not None:
        click.echo(f"shard {part} of {len(outcomes)} runs; with all of them there: bench merge")
    else:
        print_results(outcomes)
        print_answers(outcomes, matrix.results_root)
    unfinished = [outcome.unfinished for outcome in outcomes if outcome.unfinished]
    if unfinished:
        click.echo("\n".join(map(failures, unfinished)), err=True)
    if left_out is not None:
        raise left_out
    if unfinished:
        sys.exit(EPISODES_FAILED)


def matrix_of(config: Path | None, given: dict[str, Any]) -> "tuple[BenchConfig, Overrides]":
    """The matrix, and what the command line changes in the configuration; no data is read.

    Args:
        config: the file, as `--config` names it.
        given: the options of `run` that say what is measured and how, by their names.

    Raises:
        BenchError: for mistakes in the file, unknown names, and values that do not fit.
    """
    from benchmarks.config.file import load_config
    from benchmarks.config.overrides import apply

    overrides = _overrides(given)
    return apply(load_config(config), overrides), overrides


def _overrides(given: dict[str, Any]) -> "Overrides":
    from benchmarks.config.overrides import Overrides

    options = list(given.pop("options"))
    paths = {key: given.pop(key) for key in ("checkpoint", "unet")}
    # As JSON, so that no name is read as YAML's numbers, dates or comments.
    options += [
        f"{key}={json.dumps(path, ensure_ascii=False)}"
        for key, path in paths.items()
        if path is not None
    ]
    names = ["datasets", "protocol", "prompt", "folds", "shots", "models", "model_from", "name"]
    names += ["trained_on", "cache_size"]
    return Overrides(options=options, **{key: given.pop(key) for key in names}, fields=given)


def _check_chosen(matrix: "BenchConfig") -> None:
    for kind in ("datasets", "models"):
        if not getattr(matrix, kind):
            raise click.UsageError(f"no {kind} to run: name some with --{kind} or in bench.yaml")


def _measure(
    matrix: "BenchConfig", resume: bool, shard: "Shard | None", quiet: bool
) -> tuple[list["Outcome"], "LeftOut | None"]:
    """All outcomes, and what the user has to mend for those left out.

    Raises:
        LeftOut: if nothing was measured.
    """
    from benchmarks.cli.console import progress
    from benchmarks.cli.options.segmenters import import_from_here
    from benchmarks.config.matrix import open_datasets
    from benchmarks.engines.listener import ProgressListener
    from benchmarks.engines.runner import LeftOut, run_matrix
    from benchmarks.protocols.seen_classes import class_notes

    import_from_here(matrix.models)
    prepared = open_datasets(matrix)
    with progress(quiet=quiet) as shown:
        for note in dict.fromkeys(class_notes(matrix, prepared)):
            shown.note(note)
        listener = ProgressListener(shown)
        try:
            start: Resume = "resume" if resume else "fresh"
            return run_matrix(matrix, resume=start, listener=listener, shard=shard), None
        except LeftOut as error:
            if all(outcome.status == "left out" for outcome in error.outcomes):
                raise
            return error.outcomes, error


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
