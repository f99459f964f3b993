"""What a user sees at the edges: an interruption, no colours, an encoding that lacks letters."""

import io
import json
import sys

import click
import pytest

from benchmarks.cli import main
from benchmarks.cli.options.letters import never_fail_to_print
from benchmarks.cli.options.params import print_json


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run"], "interrupted; the same command goes on where it stopped"),
        (["run", "--fresh"], "interrupted; the same command without --fresh goes on where it"),
        (["ablate", "diffews"], "interrupted; the same command goes on where it stopped"),
        (["train", "vae"], "interrupted; the same command with --resume goes on where it stopped"),
        (["train", "vae", "--resume"], "interrupted; the same command goes on where it stopped"),
        (["episodes", "export", "run"], "interrupted\n"),
    ],
)
def test_an_interruption_says_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise click.Abort

    monkeypatch.setattr(main.commands[args[0]], "invoke", stop)
    with pytest.raises(SystemExit, match="130"):
        main(args)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("wanted", [True, False])
def test_no_color_leaves_the_error_uncoloured(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("NO_COLOR", "" if wanted else "1")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--no-such-option"])
    assert ("\x1b[" in sys.stderr.getvalue()) == wanted  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", "- 1-2 ?"),
        ("cp1252", "- 1–2 ?"),
        ("iso-8859-1", "- 1-2 ?"),
        ("cp437", "─ 1-2 ?"),
        ("utf-8", "─ 1–2 猫"),
    ],
)
def test_letters_that_an_encoding_lacks_are_replaced(
    monkeypatch: pytest.MonkeyPatch, encoding: str, printed: str
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    never_fail_to_print()
    print("─ 1–2 猫", flush=True)
    print_json({"name": "猫"})
    sys.stdout.flush()
    line, _, text = raw.getvalue().decode(encoding).partition("\n")
    assert line == printed
    assert json.loads(text) == {"name": "猫"}
