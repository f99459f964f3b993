"""`bench speed` keeps what it measured and prints it."""

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.speed.episodes import usual_list
from datasets_prep.episodes.episode import write_episodes


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
