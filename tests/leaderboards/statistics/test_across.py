"""Models across datasets, and measured rows beside reported ones."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.store import find_runs, read_result
from leaderboards.build import build
from leaderboards.statistics.across import across, ranks_by_dataset
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import write_model, write_run
from tests.leaderboards.test_build import cells, section


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("across")
    skills = {"ay": (0.8, 0.7, 0.8), "bee": (0.6, 0.75, 0.5), "sea": (0.3, 0.3, 0.3)}
    for (name, own), place in product(skills.items(), range(3)):
        write_model(root / "r", name, dataset=f"d{place}", skill=own[place], seed=place)
    write_model(root / "r", "late", dataset="d3", skill=0.9)
    write_model(root / "r", "ay", dataset="d3", folds=3)
    write_model(root / "r", "seer", dataset="d0", skill=0.9, sees_test_classes="yes")
    write_model(root / "r", "floor", dataset="d0", kind="floor")
    write_model(root / "r", "hsnet", dataset="pascal", protocol="hsnet", skill=0.7)
    write_model(root / "r", "mine", dataset="pascal", protocol="fixed-v1", skill=0.5, shots=5)
    build(root / "r", root)
    return root


def test_ranks_are_averaged_over_the_datasets_that_all_compared_models_have(boards: Path) -> None:
    text = section((boards / "README.md").read_text(), "fixed-v1, 1-shot, strict")
    rows = {row["Model"]: row for row in cells(text, "Model")}
    assert list(rows) == ["ay", "bee", "sea", "late"]
    # ay is second on d1 alone.
    assert rows["ay"]["Mean rank (range)"] == "1.3 (1–2)"
    assert rows["bee"]["Mean rank (range)"] == "1.7 (1–2)"
    assert rows["sea"]["Mean rank (range)"] == "3.0 (3–3)"
    assert rows["late"]["Mean rank (range)"] == "–"
    assert "over d0, d1, d2, which all compared models have; not averaged: d3." in text


def test_what_differs_between_datasets_is_said(tmp_path: Path) -> None:
    for name, place in product(("alpha", "beta"), range(2)):
        write_model(tmp_path / "r", name, dataset=f"d{place}", config={"size": 64 + place})
        write_model(tmp_path / "r", name, dataset="d2", config={"size": 64})
    write_run(tmp_path / "r", name="alpha", dataset="d2", fold=3, config={"size": 65})
    build(tmp_path / "r", tmp_path)
    text = section((tmp_path / "README.md").read_text(), "fixed-v1, 1-shot, strict")
    rows = cells(text, "Model")
    names = [row["Model"] for row in rows]
    assert names == [f"{name} (datasets differ in options)" for name in ("alpha", "beta")]
    assert rows[0]["d2"] == "folds differ in options"


def test_a_mean_of_folds_that_differ_is_marked_wherever_it_stands(tmp_path: Path) -> None:
    for name, protocol in (("mine", "fixed-v1"), ("hsnet", "hsnet")):
        own = {"name": name, "dataset": "pascal", "protocol": protocol}
        write_model(tmp_path / "r", folds=3, **own)
        write_run(tmp_path / "r", fold=3, dtype="bf16", **own)
    build(tmp_path / "r", tmp_path)
    text = (tmp_path / "README.md").read_text()
    mark = "(folds differ in dtype)"
    for row in cells(text, "Dataset"):
        assert row["Best strict"].startswith((f"mine {mark} ", f"hsnet {mark} "))
    rows = {(row["Method"], row["Protocol"]): row["PASCAL-5i"] for row in cells(text, "Method")}
    assert mark in rows["mine", "fixed-v1"] and mark in rows["HSNet (ResNet-50)", "hsnet"]
    assert f"{mark}, " in (tmp_path / "boards/reported.md").read_text()


def test_missing_cells_are_seen_as_missing(boards: Path) -> None:
    text = section((boards / "README.md").read_text(), "fixed-v1, 1-shot, strict")
    rows = {row["Model"]: row for row in cells(text, "Model")}
    assert rows["late"]["d0"] == "missing" and rows["bee"]["d3"] == "missing"
    assert rows["ay"]["d3"] == "3 of 4 folds"
    assert "seer" not in text and "floor" not in text


def test_ranks_are_those_of_a_plain_loop() -> None:
    scores = np.random.default_rng(3).integers(0, 4, (5, 6)).astype(float)
    for model, found in enumerate(ranks_by_dataset(scores.tolist())):
        ranks = []
        for dataset in range(6):
            own = scores[model, dataset]
            others = [scores[m, dataset] for m in range(5) if m != model]
            ranks.append(1 + sum(x > own for x in others) + sum(x == own for x in others) / 2)
        assert found == tuple(ranks)


def test_the_largest_table_without_a_gap_is_compared(tmp_path: Path) -> None:
    # No two of the four models have just d1 and d2 in common.
    for name, own in {"ay": "12abc", "bee": "12ade", "sea": "12bdf", "dee": "12cef"}.items():
        for letter in own:
            write_model(
                tmp_path, name, dataset=f"d{letter}", folds=1, skill=0.5, untested=(1, 2, 3)
            )
    (found,) = across(settings(read_result(tmp_path, key) for key in find_runs(tmp_path)))
    assert found.common == ("d1", "d2")
    assert all(len(row.ranks) == 2 for row in found.rows)


def test_strict_models_stand_before_generalists(tmp_path: Path) -> None:
    for protocol, first in (("fixed-v1", "yes"), ("mini-v1", "no")):
        for name, place in product("ab", "de"):
            sees = first if name == "a" else {"yes": "no", "no": "yes"}[first]
            for twin in "xy":
                write_model(
                    tmp_path, name + twin, dataset=place, protocol=protocol, sees_test_classes=sees
                )
    found = across(settings(read_result(tmp_path, key) for key in find_runs(tmp_path)))
    assert [(own.protocol, own.strict) for own in found] == [
        ("fixed-v1", True), ("fixed-v1", False), ("mini-v1", True), ("mini-v1", False),
    ]  # fmt: skip


def test_one_model_or_one_dataset_is_no_overview() -> None:
    assert across([]) == []


def test_the_first_table_has_measured_and_reported_numbers_each_marked(boards: Path) -> None:
    text = (boards / "README.md").read_text()
    first = section(text, "## PASCAL-5i")
    assert text.index("## PASCAL-5i") < text.index("## Measured here")
    rows = {(r["Method"], r["Protocol"]): r for r in cells(first, "Method")}
    assert list(rows[next(iter(rows))])[3:5] == ["PASCAL-5i", "COCO-20i"]
    ours = rows["HSNet (ResNet-50)", "hsnet"]
    assert ours["PASCAL-5i"].startswith("**") and "ᵐ / *69.5*ʳ" in ours["PASCAL-5i"]
    assert ours["COCO-20i"] == "*39.2*ʳ / *46.9*ʳ"
    assert "64.0" not in ours["PASCAL-5i"]
    mine = rows["mine", "fixed-v1"]["PASCAL-5i"]
    assert mine.startswith("– / **") and mine.endswith("**ᵐ")
    assert ("hsnet", "hsnet") not in rows
    assert "#" not in next(iter(rows.values()))
    tiers = [row["Setting"] for row in cells(first, "Method")]
    order = ["strict", "generalist", "text-prompted"]
    assert tiers == sorted(tiers, key=order.index) and set(tiers) == set(order)
