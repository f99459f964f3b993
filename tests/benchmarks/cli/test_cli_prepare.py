"""`bench prepare` with input that is wrong."""

from pathlib import Path

import pytest

from benchmarks.cli import USER_ERROR, main
from datasets_prep.errors import DatasetError
from tests.datasets_prep.bad_inputs import CASES


def bench(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_what_is_wrong_stops_it_or_is_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = CASES["wrong label value, folder"](tmp_path).folder
    command = ("prepare", "folder", top, "--name=mine", "--classes=cat,dog,fox,owl", "--folds=2",
               "--shots=1", "--jobs=1", f"--data-root={tmp_path / 'data'}")  # fmt: skip
    assert bench(*command) == USER_ERROR
    said = capsys.readouterr()
    assert f"{top / 'labels/s03.png'}: 9 (80 px)" in said.err
    assert "Traceback" not in said.err and not said.out
    assert bench(*command, "--skip-bad") == 0
    assert "note: --skip-bad left out 1, see skipped.txt" in capsys.readouterr().out
    assert "s03\t" in (tmp_path / "data/mine/skipped.txt").read_text()


@pytest.mark.parametrize("given", [("pascal", "--from=nowhere"), ("folder", "nowhere", "--name=x")])
def test_a_plan_names_a_folder_that_is_not_there(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("prepare", *given, "--dry-run", f"--data-root={tmp_path}")
    assert bench(*command) == USER_ERROR
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_the_command_to_repeat_has_the_options_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object, command: str) -> None:
        raise DatasetError(f"then run `{command} --from THAT_FOLDER`")

    monkeypatch.setattr("datasets_prep.prepared.prepare.obtain", missing)
    given = ("--only", "eval", "--partial", f"--from={tmp_path}", f"--data-root={tmp_path}")
    assert bench("prepare", "pascal", *given) == 2
    assert "`bench prepare pascal --only eval --partial --from THAT" in capsys.readouterr().err
