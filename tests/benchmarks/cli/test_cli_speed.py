"""`bench speed` keeps what it measured and prints it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.results import environment
from benchmarks.speed.episodes import usual_list
from datasets_prep.episodes.episode import digest, write_episodes


def test_speed_is_kept_in_the_store(tmp_path: Path) -> None:
    arguments = ["speed", "tests.tiny:ColourModel", "--shots", "2", "--sample", "9", "--json"]
    done = CliRunner().invoke(main, [*arguments, "--results-root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    (kept,) = tmp_path.glob("speed/*/pascal-like_2shot.json")
    assert json.loads(kept.read_text(encoding="utf-8")) == body
    assert body["ratio"] > 0
    assert body["same_masks"]
    assert (body["episodes"], body["sample"], body["shots"]) == (1000, 9, 2)
    assert body["encodes"]["naive"] == {"image": 3000, "support": 2000}


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    listed = tmp_path / "list.jsonl"
    write_episodes(listed, usual_list(1)[:4])
    return ["speed", "tests.tiny:ColourModel", "--episodes", str(listed), "--json",
            "--results-root", str(tmp_path)]  # fmt: skip


def test_a_report_says_what_was_measured_with_what(arguments: list[str]) -> None:
    body = json.loads(CliRunner().invoke(main, [*arguments, "-o", "gain=0.5"]).stdout)
    assert body["config"]["gain"] == 0.5
    assert body["list_digest"] == digest(usual_list(1)[:4])
    assert (body["device"], body["dtype"]) == ("cpu", "fp32")
    assert body["hardware"] == environment.hardware("cpu")
    assert body["versions"] == environment.versions()
    assert body["revision"] == environment.revision()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (["-o", "gain=0.5"], "config.gain = 1.0, now it is 0.5"),
        (["--sample", "2"], "sample = 4, now it is 2"),
        (["--batch-size", "2"], "batch_size = 3, now it is 2"),
    ],
)
def test_a_report_of_another_setting_is_not_overwritten(
    other: list[str], named: str, arguments: list[str], tmp_path: Path
) -> None:
    first, again = (CliRunner().invoke(main, arguments) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    (kept,) = tmp_path.glob("speed/*/list_1shot.json")
    before = kept.read_bytes()
    done = CliRunner().invoke(main, [*arguments, *other])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert f"list_1shot.json was measured with {named}; move it away" in said
    assert kept.read_bytes() == before


def test_another_list_machine_or_version_is_another_setting(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CliRunner().invoke(main, arguments)
    with monkeypatch.context() as patch:
        patch.setattr(environment, "hardware", lambda device: "an abacus")
        done = CliRunner().invoke(main, arguments)
        assert "now it is 'an abacus'" in done.stderr
    with monkeypatch.context() as patch:
        patch.setattr(environment, "versions", lambda: {"torch": "0.1"})
        done = CliRunner().invoke(main, arguments)
        assert "versions." in done.stderr
    write_episodes(tmp_path / "list.jsonl", usual_list(1)[:5])
    assert "list_digest = " in CliRunner().invoke(main, arguments).stderr
    (kept,) = tmp_path.glob("speed/*/list_1shot.json")
    for older in ("[]", '{"model": "tests.tiny:ColourModel", "sample": 4}', "{"):
        kept.write_text(older)
        said = " ".join(CliRunner().invoke(main, arguments).stderr.split())
        assert "list_1shot.json does not say what it was measured with; move it away" in said
        assert kept.read_text() == older


def test_a_list_says_how_many_supports_there_are(tmp_path: Path) -> None:
    listed = tmp_path / "list.jsonl"
    write_episodes(listed, usual_list(2)[:3])
    arguments = ["speed", "tests.tiny:ColourModel", "--episodes", str(listed), "--json"]
    arguments += ["--results-root", str(tmp_path)]
    done = CliRunner().invoke(main, [*arguments, "--shots", "5"])
    assert done.exit_code == 2
    assert "list.jsonl is a 2-shot list: leave --shots out" in " ".join(done.stderr.split())
    assert not (tmp_path / "speed").exists()
    for given in ([], ["--shots", "2"]):
        done = CliRunner().invoke(main, [*arguments, *given])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["shots"] == 2
    listed.write_text("")
    done = CliRunner().invoke(main, arguments)
    assert "list.jsonl holds no episodes" in " ".join(done.stderr.split())


def test_the_usual_list_repeats_as_fold_0_does() -> None:
    episodes = usual_list(1)
    assert len(episodes) == 1000
    assert len({(e.query, e.class_index) for e in episodes}) == 346
