"""What `bench speed` measured stands in the overview."""

import json
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from leaderboards.build import build
from leaderboards.tables.speed import speed_section


def test_speed_stands_in_the_overview(tmp_path: Path) -> None:
    assert speed_section(tmp_path) == ""
    path = tmp_path / "speed" / "toy" / "p5_5shot.json"
    path.parent.mkdir(parents=True)
    body = {"model": "toy", "list": "p5", "shots": 5, "sample": 10, "episodes": 100}
    path.write_text(json.dumps({**body, "ratio": 4.5, "cached_seconds": 2, "naive_seconds": 9}))
    build(tmp_path, tmp_path / "boards")
    overview = (tmp_path / "boards" / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in overview.splitlines() if line.startswith("| toy")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "toy", "p5", "5", "10 of 100", "4.50", "20.0", "90.0",
    ]  # fmt: skip
    path.write_text("{}")
    with pytest.raises(BenchError, match="not a result of bench speed"):
        speed_section(tmp_path)
