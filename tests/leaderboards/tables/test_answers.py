"""What was asked beside mIoU, wherever a row of the board is shown."""

from pathlib import Path
from statistics import fmean

import pytest
import yaml

from benchmarks.results.figures import answers
from benchmarks.results.store import Result, find_runs, read_result
from leaderboards.build import build
from leaderboards.committed.card import model_index
from leaderboards.page.provenance import NOTHING, provenance
from leaderboards.page.report import report_page
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import write_model


@pytest.fixture
def measured(tmp_path: Path) -> list[Result]:
    """A model that says whether the class is there, and one that does not."""
    write_model(tmp_path, "sure", protocol="absent-v1", presence=True, skill=0.8)
    write_model(tmp_path, "plain", protocol="absent-v1", skill=0.5)
    return [read_result(tmp_path, key) for key in find_runs(tmp_path)]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_area_under_the_curve_stands_where_false_alarms_stand(
    tmp_path: Path, measured: list[Result]
) -> None:
    own = [result for result in measured if result.key.model == "sure"]
    value = fmean(answers(result)["presence_auroc"] for result in own)
    assert 0.5 < value < 1
    shown = f"{100 * value:.1f}"
    (setting,) = settings(measured)
    row = setting.rows[0]
    assert row.answers["presence_auroc"] == pytest.approx(value)

    build(tmp_path, tmp_path / "out")
    text = (tmp_path / "out" / "boards" / "toy.md").read_text()
    (head,) = [line for line in text.splitlines() if "false alarms" in line]
    assert cells(head)[-2:] == ["marked area", "presence AUROC"]
    lines = text.partition(head)[2].splitlines()[2:4]
    assert {cells(line)[0]: cells(line)[-1] for line in lines} == {"sure": shown, "plain": "–"}

    assert f"presence AUROC {shown}" in provenance(row, NOTHING)["facts"]["Asked beside"]
    assert "presence AUROC" in report_page(own, {}, {})
    assert "presence AUROC" not in report_page([r for r in measured if r not in own], {}, {})
    cards = {card["name"]: card for card in yaml.safe_load(model_index(own))["model-index"]}
    metrics = {m["type"]: m["value"] for m in cards["sure"]["results"][0]["metrics"]}
    assert metrics["presence_auroc"] == round(100 * value, 2)
