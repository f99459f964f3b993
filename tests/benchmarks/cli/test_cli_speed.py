"""`bench speed` keeps what it measured and prints it."""

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.speed.episodes import usual_list


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


def test_the_usual_list_repeats_as_fold_0_does() -> None:
    episodes = usual_list(1)
    assert len(episodes) == 1000
    assert len({(e.query, e.class_index) for e in episodes}) == 346
