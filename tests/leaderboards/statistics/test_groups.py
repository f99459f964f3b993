"""CD-FSS: four datasets as one setting, with an average only where all four were measured."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from benchmarks.evaluation.intervals import Figure, Interval
from datasets_prep.catalog import GROUPS
from leaderboards.build import Built, build
from leaderboards.literature.numbers import reported
from leaderboards.page.html import board_data
from leaderboards.statistics.groups import mean
from leaderboards.statistics.scores import Setting
from tests.leaderboards.synthetic import write_run
from tests.leaderboards.test_build import cells, page, section

CDFSS = GROUPS["cdfss"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("results")
    for number, dataset in enumerate(CDFSS):
        own = {"dataset": dataset, "folds": 1, "digest": f"{number}" * 64, "protocol": "hsnet"}
        for shots in (1, 5):
            write_run(root, name="whole", skill=0.4 + 0.1 * number, shots=shots, **own)
        write_run(root, name="floor", kind="floor", skill=0.2, **own)
        write_run(root, name="cut", count=20, limit=20, **own)
        if dataset in ("fss1000", "chestxray"):
            write_run(root, name="half", skill=0.9, **own)
        seen = "yes" if dataset == "fss1000" else "no"
        write_run(root, name="general", sees_test_classes=seen, skill=0.5, **own)
    write_run(root, dataset="toy", folds=1, name="whole")
    return build(root, tmp_path_factory.mktemp("boards"), groups=GROUPS)


def the(built: Built, dataset: str, shots: int = 1) -> Setting:
    (found,) = (
        s for s in built.settings if (s.dataset, s.shots, s.limit) == (dataset, shots, None)
    )
    return found


def test_a_row_is_a_model_with_a_column_a_dataset_and_their_average(built: Built) -> None:
    row = cells(section(page(built, "cdfss.md"), "1-shot"))[0]
    own = [next(r for r in the(built, d).rows if r.model.name == "whole") for d in CDFSS]
    mious = [r.miou for r in own if r.miou is not None]
    assert [row[dataset] for dataset in CDFSS] == [f"{100 * m.value:.1f}" for m in mious]
    average = fmean(m.value for m in mious)
    assert row["mIoU (95%)"].startswith(f"{100 * average:.1f} (")
    assert (row["#"], row["Model"]) == ("1", "whole")


def test_without_all_four_there_is_no_average_but_what_is_lacking(built: Built) -> None:
    rows = {r["Model"]: r for r in cells(section(page(built, "cdfss.md"), "1-shot"))}
    half = rows["half (lacks isic2018, deepglobe)"]
    assert half["#"] == half["mIoU (95%)"] == half["isic2018"] == "–"
    assert half["fss1000"] != "–" and half["chestxray"] != "–"


def test_who_saw_test_classes_of_one_dataset_is_no_strict_model(built: Built) -> None:
    strict, general = section(page(built, "cdfss.md"), "1-shot").split("**Generalist")
    assert "| general" in general and "| general" not in strict
    assert {r["Model"]: r["#"] for r in cells(strict)}["floor (floor)"] == "–"


def test_cut_lists_and_other_datasets_take_no_part(built: Built) -> None:
    assert "cut" not in page(built, "cdfss.md").replace("cut list", "")
    assert {s.dataset for s in built.settings} == {*CDFSS, "cdfss", "toy"}
    assert the(built, "cdfss", 5).parts == CDFSS and the(built, "toy").parts == ()


def test_the_overview_and_every_view_lead_to_it(built: Built) -> None:
    rows = [r for r in cells(page(built, "README.md"), "Dataset") if "cdfss" in r["Dataset"]]
    assert [(r["Dataset"], r["Protocol"], r["Shots"], r["Rows"]) for r in rows] == [
        ("[cdfss](boards/cdfss.md)", "hsnet", "1", "4"),
        ("[cdfss](boards/cdfss.md)", "hsnet", "5", "1"),
    ]
    assert "cdfss, hsnet, 1-shot\n" in built.text
    assert "PATNet" in page(built, "cdfss.md")


def test_lists_and_digests_stand_under_their_datasets(built: Built) -> None:
    text = page(built, "cdfss.md")
    (one, _) = cells(text, "List")
    assert all(one[dataset] == "40 `01eeeeee`" for dataset in CDFSS)
    (data,) = (
        s
        for s in board_data(built.settings, ())["settings"]
        if (s["dataset"], s["shots"]) == ("cdfss", 1)
    )
    assert data["parts"] == list(CDFSS) and data["classes"] == []
    assert data["facts"]["Digest of chestxray"] == "2" * 64


def test_the_interval_of_a_mean_is_that_of_independent_errors() -> None:
    random = np.random.default_rng(0)
    spreads, centres = (0.01, 0.02, 0.03, 0.04), (0.2, 0.4, 0.6, 0.8)
    draws = [random.normal(c, s, 200_000) for c, s in zip(centres, spreads, strict=True)]
    parts = [
        Figure(c, Interval(*np.percentile(d, [2.5, 97.5]).tolist()))
        for c, d in zip(centres, draws, strict=True)
    ]
    found = mean(parts)
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    assert found.value == pytest.approx(0.5)
    assert found.interval.low == pytest.approx(low, abs=2e-4)
    assert found.interval.high == pytest.approx(high, abs=2e-4)


def test_the_printed_averages_are_those_of_the_printed_figures() -> None:
    by_method: dict[tuple[str, int], dict[str, float]] = {}
    for number in reported():
        if number.entry.table == "Table 2" and number.miou is not None:
            key = (number.entry.method, number.shots)
            by_method.setdefault(key, {})[number.entry.dataset] = number.miou
    assert len(by_method) == 20
    off = {
        key
        for key, own in by_method.items()
        if own["cdfss"] != pytest.approx(fmean(own[d] for d in CDFSS), abs=0.02)
    }
    assert off == {("ABCDFSS", 5)}


def test_without_any_of_them_there_is_no_page(tmp_path: Path) -> None:
    write_run(tmp_path / "results", folds=1)
    built = build(tmp_path / "results", tmp_path / "boards", groups=GROUPS)
    assert "cdfss.md" not in {path.name for path in built.files}
