"""Batch files for Slurm: an array job with a shard for each task, or a Ray cluster as one job."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

_RAY_PORT = 20000  # and up to 10,000 more, by the job's number
_TRIES = 150  # looks, two seconds apart, at whether Ray's head is up


@dataclass(frozen=True)
class Job:
    """What to ask Slurm for.

    Attributes:
        name: of the job, and of its log files.
        gpus: for each task of an array, or each node of a cluster.
        cpus: likewise.
        time: the limit, as Slurm writes it: hours:minutes:seconds.
        memory: for each node, as Slurm writes it: 64G.
        directives: further options of sbatch, as `--account=mine`.
        setup: lines of shell to run first, as `source .venv/bin/activate`.
    """

    name: str = "bench"
    gpus: int = 1
    cpus: int = 8
    time: str = "24:00:00"
    memory: str | None = None
    directives: Sequence[str] = ()
    setup: Sequence[str] = ()


def array_job(job: Job, shards: int, arguments: Sequence[str]) -> str:
    """A batch file of so many tasks, each of which runs one shard of `bench run` with `arguments`.

    A task that Slurm ends before it is through goes on where it was when it is queued again.
    """
    directives = [f"--array=1-{shards}", "--requeue", "--output=%x-%A_%a.log"]
    command = ["bench", "run", *arguments, *array_options(job)]
    return _script(
        job,
        directives,
        [
            f"export OMP_NUM_THREADS={max(1, job.cpus // max(1, job.gpus))}",  # of each worker
            f'exec {shlex.join(command)} --shard "$SLURM_ARRAY_TASK_ID/{shards}"',
        ],
    )


def ray_job(job: Job, nodes: int, arguments: Sequence[str]) -> str:
    """A batch file that starts Ray on so many nodes and runs `bench run` with `arguments` on it."""
    directives = [
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        "--requeue",
        "--output=%x-%j.log",
    ]
    command = ["bench", "run", *arguments, *ray_options(job, nodes)]
    resources = f"--num-cpus={job.cpus} --num-gpus={job.gpus} --block"
    others = [
        f'srun --nodes={nodes - 1} --ntasks={nodes - 1} --exclude="$head" '
        f'ray start --address="$address" {resources} &'
    ]
    return _script(
        job,
        directives,
        [
            "export RAY_USAGE_STATS_ENABLED=0",
            f"export SRUN_CPUS_PER_TASK={job.cpus}",  # srun does not take it from sbatch
            # Not through `head -n 1`: scontrol's broken pipe would end the job.
            'nodes="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"',
            'read -r head <<< "$nodes"',
            f"port=$(({_RAY_PORT} + SLURM_JOB_ID % 10000))",
            'address="$head:$port"',
            'srun --nodes=1 --ntasks=1 --nodelist="$head" '
            f'ray start --head --port="$port" {resources} &',
            f"tries={_TRIES}",
            'until ray status --address="$address" > /dev/null 2>&1; do',
            "  if ! kill -0 $! 2> /dev/null || ((--tries == 0)); then",
            '    echo "error: the head of Ray is not up on $head" >&2',
            "    exit 1",
            "  fi",
            "  sleep 2",
            "done",
            *(others if nodes > 1 else []),
            f'{shlex.join(command)} --address "$address"',
        ],
    )


def array_options(job: Job) -> list[str]:
    """What `bench run` is told in each task of an array, so that bench.yaml does not say it."""
    return _options("local", max(1, job.gpus), job)


def ray_options(job: Job, nodes: int) -> list[str]:
    """Likewise in a job on so many nodes; its address is known when it runs."""
    return _options("ray", nodes * (job.gpus or job.cpus), job)


def _options(engine: str, workers: int, job: Job) -> list[str]:
    device = "cuda" if job.gpus else "cpu"
    return ["--engine", engine, "--workers", str(workers), "--device", device]


def _script(job: Job, directives: Sequence[str], commands: Sequence[str]) -> str:
    every = [
        f"--job-name={job.name}",
        f"--time={job.time}",
        f"--cpus-per-task={job.cpus}",
        *([f"--gpus-per-node={job.gpus}"] if job.gpus else []),
        *([f"--mem={job.memory}"] if job.memory else []),
        *directives,
        *job.directives,
    ]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {directive}" for directive in every),
        "",
        "set -euo pipefail",
        'cd "${SLURM_SUBMIT_DIR:-.}"',
        *job.setup,
        *commands,
    ]
    return "\n".join(lines) + "\n"
