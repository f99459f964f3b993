"""Options of the verbs that train: what to train on, from what, how, and where it goes."""

from collections.abc import Callable

import click

from benchmarks.cli.options.params import PATH, F, data_root, number, option, quiet, together

_MODEL, _HOW, _OUT = "Model", "How to train it", "Output"

train_dataset = option(
    "--dataset",
    "-d",
    required=True,
    metavar="NAME",
    group="What to train on",
    help="A prepared dataset.",
)
train_fold = number(
    "--fold",
    least=0,
    required=True,
    group="What to train on",
    help="Train on this fold's base classes; its novel classes are never foreground.",
)
decoding_threads = number(
    "--threads", default=2, group="How to train it", help="Threads that decode images ahead."
)


def device(purpose: str) -> Callable[[F], F]:
    """Where a training computes."""
    return option(
        "--device",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "cpu", "cuda"]),
        group=_HOW,
        help=purpose,
    )


def start(explained: str, *, required: bool = False) -> Callable[[F], F]:
    """The checkpoint that a training begins with."""
    return option(
        "--from",
        "source",
        required=required,
        type=PATH,
        metavar="DIR",
        group=_MODEL,
        help=explained,
    )


def config(explained: str, default: str | None = None) -> Callable[[F], F]:
    """A preset or a file of settings."""
    return option(
        "--config",
        default=default,
        show_default=default is not None,
        metavar="NAME|FILE",
        group=_HOW,
        help=explained,
    )


def changes(example: str) -> Callable[[F], F]:
    """Single settings."""
    return option(
        "--set",
        "changes",
        multiple=True,
        callback=_setting_changes,
        metavar="NAME=VALUE",
        group=_HOW,
        help=f"One setting, such as {example}; repeat it.",
    )


def out(explained: str) -> Callable[[F], F]:
    """Where a training leaves what it makes."""
    return option("--out", required=True, type=PATH, metavar="DIR", group=_OUT, help=explained)


def _setting_changes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE, such as train.steps=1000")
    return {name: text for name, _, text in pairs}


def _list_settings(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from benchmarks.cli.console import print_table
    from benchmarks.train.job import explained, presets

    print_table(("Preset", "File"), [(name, path) for name, path in presets().items()])
    print_table(("Setting", "Default", "What it is"), explained())
    ctx.exit()


# Options of every training.
of_training = together(
    train_dataset,
    data_root,
    device("Where to train; under accelerate launch, each process has its own."),
    decoding_threads,
    out("Folder of the training: last/ and best/ are checkpoints."),
    option("--resume", is_flag=True, group=_OUT, help="Go on with the training in --out."),
    option("--tensorboard", is_flag=True, group=_OUT, help="Write its events too."),
    quiet,
)


def of_job(begins_with: str, example: str, *, required: bool = True) -> Callable[[F], F]:
    """Options of a diffusion stage: what `--from` gives it, and an example of its settings."""
    return together(
        start(begins_with, required=required),
        config("A preset or a YAML file of settings; --list-settings shows all."),
        changes(example),
        option(
            "--list-settings",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_list_settings,
            group=_HOW,
            help="Print presets and settings, and stop.",
        ),
        of_training,
    )
