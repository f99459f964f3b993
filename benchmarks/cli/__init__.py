"""The `bench` command. A verb is a small module; what is slow to import waits inside it."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from benchmarks.cli.ablate import ablate
from benchmarks.cli.compare import command as compare
from benchmarks.cli.datasets import datasets
from benchmarks.cli.doctor import doctor
from benchmarks.cli.episodes import episodes
from benchmarks.cli.export import export
from benchmarks.cli.leaderboard import command as leaderboard
from benchmarks.cli.merge import merge
from benchmarks.cli.models import models
from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.letters import never_fail_to_print
from benchmarks.cli.power import power
from benchmarks.cli.prepare import prepare
from benchmarks.cli.protocols import protocols
from benchmarks.cli.report import report
from benchmarks.cli.results import results
from benchmarks.cli.run import run
from benchmarks.cli.score import score
from benchmarks.cli.show import show
from benchmarks.cli.speed import speed
from benchmarks.cli.submit import submit
from benchmarks.cli.train import train
from benchmarks.errors import BenchError
from datasets_prep.errors import DatasetError
from models.errors import ModelError

USER_ERROR = 2
INTERRUPTED = 130
_WRITE_ELSEWHERE = "choose a place that you may write to"
_ANOTHER_PLACE = "choose another place"
_FREE = "free some space, or choose another --data-root, --results-root or --out"
_DISK_ERRORS = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EROFS: _WRITE_ELSEWHERE,
    errno.EACCES: _WRITE_ELSEWHERE,
    errno.EPERM: _WRITE_ELSEWHERE,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: _ANOTHER_PLACE,
    errno.ENOTDIR: _ANOTHER_PLACE,
    errno.EEXIST: _ANOTHER_PLACE,
}
_RESUMABLE = ("prepare", "run", "export", "ablate", "train")


class _Bench(VerbGroup):
    """Turns what a user can mend into one message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line; always ends in `SystemExit`."""
        args = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        never_fail_to_print()
        try:
            sys.exit(super().main(args, *rest, **extra))
        except click.Abort:
            mend = f"; {_going_on(args)}" if args[:1] and args[0] in _RESUMABLE else ""
            message, code = f"interrupted{mend}", INTERRUPTED
        except (BenchError, DatasetError, ModelError, click.ClickException, OSError) as error:
            if "--debug" in args or not _is_mendable(error):
                raise
            message, code = _message(error), USER_ERROR
        click.echo(f"{_heading()} {message}", err=True)
        sys.exit(code)


def _heading() -> str:
    """`error:`, red unless the user wants no colours (https://no-color.org)."""
    return "error:" if os.environ.get("NO_COLOR") else click.style("error:", fg="red", bold=True)


def _going_on(args: Sequence[str]) -> str:
    how = " without --fresh" if "--fresh" in args else ""
    if args[0] == "train" and "--resume" not in args:
        how = " with --resume"
    return f"the same command{how} goes on where it stopped"


def _is_mendable(error: Exception) -> bool:
    return not isinstance(error, OSError) or error.errno in _DISK_ERRORS


def _message(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "bench"
        return f"{error.format_message().rstrip('.')} (see {where} --help)"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; {_DISK_ERRORS[int(error.errno or 0)]}"
    return str(error)


@click.group(
    cls=_Bench,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        "bench prepare shapes           make the embedded dataset",
        "bench run                      run the matrix in bench.yaml",
        "bench leaderboard              compare all results",
        "bench run --help               every command explains itself",
    ),
)
@click.version_option(package_name="fss-bench", prog_name="bench")
def main() -> None:
    """Measure few-shot segmentation: fixed episodes, published protocols, one leaderboard."""


for verb in (
    prepare,
    datasets,
    export,
    protocols,
    models,
    episodes,
    run,
    submit,
    merge,
    train,
    ablate,
    score,
    leaderboard,
    compare,
    power,
    results,
    report,
    show,
    speed,
    doctor,
):
    main.add_command(verb)
