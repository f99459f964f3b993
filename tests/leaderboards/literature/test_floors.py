"""Floors stand beside the literature's numbers, where they were measured."""

from pathlib import Path

from leaderboards.committed.collect import Places, collect
from leaderboards.literature.table import floors_table
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import write_model


def test_floors_and_oracles_alone_are_shown_by_protocol_and_shots(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha")
    write_model(tmp_path, "blind", kind="floor")
    write_model(tmp_path, "box", kind="oracle", shots=5)
    boards = settings(collect(Places(tmp_path, tmp_path / "none")).results)
    _, shown = floors_table("toy", boards)
    assert "fixed-v1, 1-shot" in shown
    assert "fixed-v1, 5-shot" in shown
    rows = {line.split("|")[1].strip(): line for line in shown.splitlines()}
    assert {"blind", "box"} <= rows.keys()
    assert not any("alpha" in line for line in shown.splitlines())
    assert "–" in rows["box"].split("|")[2]
    assert floors_table("other", boards) == []
