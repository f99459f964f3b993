"""The door for programs: its examples run, and it measures what the command measures."""

import doctest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import benchmarks.api
import leaderboards.api
from benchmarks import BenchError, episodes, evaluate, load_dataset, load_results, metrics
from datasets_prep.datasets.shapes import Shapes
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from leaderboards import compare
from models.segmenter import Features
from models.template import MeanColour

EXAMPLES = [
    test
    for door in (benchmarks.api, leaderboards.api)
    for test in doctest.DocTestFinder(exclude_empty=True).find(door, globs=vars(door))
    if test.examples
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embedded dataset in `data`."""
    home = tmp_path_factory.mktemp("home")
    prepare(Shapes(Shapes.Options()), PrepareOptions(data_root=home / "data"))
    return home


@pytest.fixture(autouse=True)
def at_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(home / "data"))
    monkeypatch.delenv("BENCH_RESULTS", raising=False)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_examples_run(example: doctest.DocTest) -> None:
    example.globs |= {"Path": Path, "Image": Image}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example).failed == 0


def test_every_function_ends_in_an_example() -> None:
    functions = [
        f"{door.__name__}.{name}"
        for door in (benchmarks.api, leaderboards.api)
        for name in door.__all__
        if getattr(getattr(door, name), "__module__", "") == door.__name__
    ]
    assert len(functions) >= 7
    assert {test.name for test in EXAMPLES} == set(functions)


def test_a_model_of_the_cell_above_is_measured_as_the_suites_own() -> None:
    own = MeanColour(MeanColour.Options())
    scores = evaluate(own, "shapes", shots=5, folds=[1], limit=30, name="mine")
    named = evaluate("models.template:MeanColour", "shapes", shots=5, folds=[1], limit=30, name="x")
    assert np.array_equal(scores.results[0].counts.areas, named.results[0].counts.areas)
    assert compare(scores, named)[0].ties == 30


def test_figures_follow_from_the_table() -> None:
    scores = evaluate("centre-prior", "shapes", folds=[0, 2], limit=25)
    frame = scores.table().to_pandas()
    sums = frame.groupby("class")[["fg_intersection", "fg_union"]].sum()
    ious = sums.fg_intersection / sums.fg_union
    assert {name: figure.value for name, figure in scores.class_iou.items()} == ious.to_dict()
    assert scores.miou.value == pytest.approx(ious.mean())
    assert scores.miou.value in scores.miou.interval
    assert scores.fb_iou.value == np.mean([metrics.fb_iou(r.counts) for r in scores.results])
    assert frame["query"].tolist()[:25] == [e.query for e in episodes("shapes", 0)[:25]]


def test_results_are_kept_where_asked_and_read_again() -> None:
    kept = evaluate("random", "shapes", folds=[3], limit=10, results_root="store")
    again = load_results("store")
    assert [str(scores) for scores in again] == [str(kept)]
    assert load_results("elsewhere") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shots": 0}, "^shots: Input should be greater than 0"),
        ({"limit": 0}, "^limit: Input should be greater than 0"),
        ({"folds": []}, "^folds: Tuple should have at least 1 item"),
        ({"dtype": "int8"}, "^dtype: Input should be 'fp32', 'bf16' or 'fp16'"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        evaluate("random", "shapes", **wrong)


class Broken(MeanColour):
    """Fails on every query."""

    def segment(self, queries: list[Features], supports: Sequence[list[Features]]) -> Tensor:
        raise ValueError("no such luck")


def test_episodes_that_fail_are_an_error() -> None:
    with pytest.raises(BenchError, match="Broken has no score on shapes"):
        evaluate(Broken(Broken.Options()), load_dataset("shapes"), folds=[0], limit=3)
