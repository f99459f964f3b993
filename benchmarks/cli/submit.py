"""`bench submit`: a batch file that runs the matrix on a cluster."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.cli.options.layout import Argument, Verb
from benchmarks.cli.options.params import PATH, number, option, quiet
from benchmarks.cli.run import matrix_of, run
from datasets_prep.runtime.whole import write_whole

_ASK, _SPREAD = "What to ask for", "How to spread it"
_OURS = ("--shard", "--engine", "--address", "--workers", "--device")
_IDLE = ("--dry-run", "--show-config", "--help", "-h")
_BESIDE = ("resume", "shard", "show_config", "dry_run", "as_json", "quiet")  # no part of a matrix


@click.command(
    cls=Verb,
    examples=(
        "bench submit --slurm --shards 8 -- --models all --shots 1,5    an array of eight tasks",
        "sbatch --wait bench.sbatch && bench merge                      run it, then merge",
        "bench submit --slurm --ray 4 --gpus 8                          one Ray job on four nodes",
        "bench submit --slurm --shards 8 --sbatch=--account=me --setup 'source .venv/bin/activate'",
    ),
)
@option("--slurm", is_flag=True, required=True, group=_SPREAD, help="For Slurm's sbatch.")
@number(
    "--shards",
    group=_SPREAD,
    help="An array job of N tasks; bench merge puts their results together.",
)
@number(
    "--ray",
    "nodes",
    metavar="NODES",
    group=_SPREAD,
    help="One job that starts a Ray cluster on so many nodes.",
)
@number("--gpus", least=0, default=1, group=_ASK,
        help="For each task or node; 0 computes on the processors.")  # fmt: skip
@number("--cpus", default=8, group=_ASK, help="For each task or node.")
@option("--time", default="24:00:00", show_default=True, group=_ASK, help="The limit.")
@option("--mem", metavar="SIZE", group=_ASK, help="For each node, such as 64G.")
@option("--job-name", default="bench", show_default=True, group=_ASK, help="Of job and logs.")
@option(
    "--sbatch",
    "directives",
    multiple=True,
    metavar="OPTION",
    group=_ASK,
    help="A further option of sbatch, such as --account=mine.",
)
@option(
    "--setup", multiple=True, metavar="LINE", group=_ASK, help="A line of shell to run before all."
)
@option(
    "--out", type=PATH, default=Path("bench.sbatch"), show_default=True, group="Output",
    help="The file to write; - prints it.",
)  # fmt: skip
@quiet
@click.argument(
    "arguments",
    cls=Argument,
    explained="Options of bench run, after --.",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[-- OPTION...]",
)
def submit(
    slurm: bool,
    shards: int | None,
    nodes: int | None,
    gpus: int,
    cpus: int,
    time: str,
    mem: str | None,
    job_name: str,
    directives: Sequence[str],
    setup: Sequence[str],
    out: Path,
    quiet: bool,
    arguments: Sequence[str],
) -> None:
    """Write a batch file for a cluster; nothing is submitted.

    The file runs `bench run` with the options after `--`, in the folder where it is submitted.
    Code, datasets, weights and the results store must be reachable there.
    """
    from benchmarks.engines.slurm import Job, array_job, array_options, ray_job, ray_options

    if (shards is None) == (nodes is None):
        raise click.UsageError("say --shards N for an array job, or --ray NODES for one Ray job")
    job = Job(job_name, gpus, cpus, time, mem, directives, setup)
    if nodes is not None:
        _check(arguments, ray_options(job, nodes))
        text, then = ray_job(job, nodes, arguments), ""
    else:
        _check(arguments, array_options(job))
        text = array_job(job, shards or 1, arguments)
        then = "; when all tasks are through: bench merge"
    if str(out) == "-":
        click.echo(text, nl=False)
        return
    write_whole(out, text)
    if not quiet:
        click.echo(f"wrote {out}; submit it with: sbatch {out}{then}")


def _check(arguments: Sequence[str], ours: Sequence[str]) -> None:
    """Find mistakes here, before a job has waited in a queue to find them.

    Args:
        arguments: the user's options of `bench run`.
        ours: what the job says beside them.

    Raises:
        BenchError: for mistakes in the configuration, unknown names, and values that do not fit.
        UsageError: for options that are unknown, or not for a job.
    """
    for name in _OURS:
        if any(given == name or given.startswith(f"{name}=") for given in arguments):
            raise click.UsageError(f"{name} is for bench submit to choose")
    for name in _IDLE:
        if name in arguments:
            raise click.UsageError(f"with {name} a job measures nothing; say it to bench run here")
    # Ours first: an option that lacks its value would take one of them for it.
    wanted = run.make_context("run", [*ours, *arguments])
    if not wanted.params["resume"]:
        raise click.UsageError(
            "with --fresh a job that Slurm queues again would begin anew each time; remove the old "
            "results, or give another --results-root"
        )
    given = {key: value for key, value in wanted.params.items() if key not in _BESIDE}
    matrix_of(given.pop("config"), given)
