"""Every verb explains itself at once, without importing what computes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.protocols.catalog import PROTOCOLS
from datasets_prep.catalog import DATASETS
from models.catalog import MODELS

ROOT = Path(__file__).parents[3]

HEAVY = ("torch", "transformers", "diffusers", "datasets", "pyarrow", "scipy", "pandas", "rich")

ALL_HELP = f"""
import contextlib, io, json, sys
from benchmarks.cli import main
for path in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([*path, "--help"])
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    if heavy:
        sys.exit(f"{{' '.join(path)}} imports {{heavy}}")
"""


def commands(
    command: click.Command, ctx: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from commands(child, click.Context(child, parent=ctx), (*path, name))


EVERY = list(commands(main, click.Context(main)))
VERBS = {path[0] for path, _ in EVERY if path}


def test_the_verbs_are_there() -> None:
    assert {
        "prepare", "datasets", "protocols", "models", "episodes", "run", "score", "leaderboard",
        "show", "doctor",
    } <= VERBS  # fmt: skip


def test_no_help_imports_anything_heavy() -> None:
    paths = json.dumps([path for path, _ in EVERY])
    done = subprocess.run([sys.executable, "-c", ALL_HELP, paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("path", "command"), EVERY, ids=lambda value: " ".join(value) or "bench"
                         if isinstance(value, tuple) else "")  # fmt: skip
def test_every_help_has_examples_and_explains_everything(
    path: tuple[str, ...], command: click.Command
) -> None:
    done = CliRunner().invoke(main, [*path, "--help"])
    assert done.exit_code == 0 and " RANGE" not in done.output
    examples = done.output.partition("Examples:\n")[2].splitlines()
    assert any(line.strip().startswith("bench " + " ".join(path)) for line in examples)
    assert "..." not in done.output.partition("Commands:")[2].partition("\n\n")[0]
    ctx = click.Context(command)
    for param in command.get_params(ctx):
        explained = getattr(param, "explained", None) or getattr(param, "help", None)
        assert explained, f"{' '.join(path)}: {param.name} is not explained"
        assert explained.count("[default:") <= 1 and "[default: ]" not in explained


def unknown_words(example: str) -> set[str]:
    """Flags of a command line that its verb does not have; those after -- are of bench run."""
    by_path = dict(EVERY)
    own, _, rest = example.partition("#")[0].partition(" -- ")
    words = own.split()
    path: tuple[str, ...] = ()
    while words[1:] and (*path, words[1]) in by_path:
        path = (*path, words.pop(1))
    known = {
        name
        for param in by_path[path].get_params(click.Context(by_path[path]))
        for name in (*param.opts, *param.secondary_opts)
    }
    assert path or "--help" in words, example
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    return flags - known - {"--help"} | (unknown_words(f"bench run {rest}") if rest else set())


def test_examples_use_options_that_exist() -> None:
    examples = [e for _, command in EVERY for e in getattr(command, "examples", ())]
    assert not [e for e in examples if e.startswith("bench ") and unknown_words(e)]


def test_the_readme_uses_commands_that_exist_and_names_everything() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("bench ")]
    assert len(commands) > 15
    assert not [line for line in commands if unknown_words(line)]
    missing = [n for n in (*DATASETS, *PROTOCOLS, *MODELS) if f"`{n}`" not in text]
    assert not missing, f"README.md does not name {missing}"


@pytest.mark.parametrize("path", [(), ("prepare",), ("episodes",), ("results",)])
def test_a_group_without_a_verb_shows_its_help_and_no_error(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*path])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == CliRunner().invoke(main, [*path, "--help"]).stdout


def test_version() -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert done.exit_code == 0 and done.output.startswith("bench, version 0.")
