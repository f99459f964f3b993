"""Before a run it is said which test classes a model met in training, by their names."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.config.schema import BenchConfig, DatasetConfig, ModelConfig
from benchmarks.protocols import seen_classes as trained_on
from benchmarks.protocols.seen_classes import class_notes
from datasets_prep.prepared.folds import Fold, FoldSet
from models.catalog import MODELS, Card

CLASSES = {
    "coco": ["dining table", "airplane", "cat"],
    "tested": ["aeroplane", "lung", "diningtable", "heart"],
}


class Fake:
    """As much of a prepared dataset as is asked for: two folds of two classes."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.classes = name, CLASSES[name]
        folds = (Fold(0, (), (0, 1), (), ()), Fold(1, (), (2, 3), (), ()))
        self.folds = FoldSet(folds if name == "tested" else (Fold(0, (), (0, 1, 2), (), ()),))


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = SimpleNamespace(card=Card("A", "", trained_on=("coco", "lvis")))
    plain = SimpleNamespace(card=Card("B", ""))
    monkeypatch.setattr(trained_on, "MODELS", {"alpha": known, "beta": plain})
    monkeypatch.setattr(trained_on, "PreparedDataset", Fake)
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/manifest.json").touch()


def notes(root: Path, models: Sequence[str], *datasets: DatasetConfig) -> list[str]:
    config = BenchConfig(
        data_root=root, datasets=datasets, models=tuple(ModelConfig(name=name) for name in models)
    )
    return list(class_notes(config, {d.name: Fake(root, d.name) for d in datasets}))  # type: ignore[misc]


def test_classes_met_in_training_are_counted_and_named(tmp_path: Path) -> None:
    every = notes(tmp_path, ("alpha", "beta", "my.py:Own"), DatasetConfig(name="tested"))
    assert every == [
        "alpha was trained on coco: 2 of the 4 test classes of tested are among its "
        "(aeroplane, diningtable); images: bench datasets leaks coco tested"
    ]


def test_only_the_folds_that_are_run_count(tmp_path: Path) -> None:
    (one,) = notes(tmp_path, ("alpha",), DatasetConfig(name="tested", folds=(1,)))
    assert "1 of the 2 test classes of tested are among its (diningtable)" in one


def test_a_dataset_that_was_trained_on_is_no_place_to_look_for_images(tmp_path: Path) -> None:
    (one,) = notes(tmp_path, ("alpha",), DatasetConfig(name="coco"))
    assert one.endswith(
        "3 of the 3 test classes of coco are among its (dining table, airplane, cat)"
    )


def test_that_nothing_was_met_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSES, "tested", ["lung", "heart", "bone", "skin"])
    (one,) = notes(tmp_path, ("alpha",), DatasetConfig(name="tested"))
    assert one.endswith("none of the 4 test classes of tested has the name of one of its")


def test_training_data_that_is_not_here_is_not_spoken_of(tmp_path: Path) -> None:
    assert notes(tmp_path / "elsewhere", ("alpha",), DatasetConfig(name="tested")) == []


def test_cards_that_name_training_data_say_more_of_it() -> None:
    named = {name: MODELS[name].card for name in MODELS if MODELS[name].card.trained_on}
    assert {"seggpt", "patnet"} <= named.keys()
    for card in named.values():
        assert card.training_data != "none"
        seen = card.sees_test_classes or {}
        assert all(seen.get(dataset) == "yes" for dataset in card.trained_on)
