"""Folds of one row may have files of their own, and no other option."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.agreement import other_option
from benchmarks.results.evaluation import evaluations
from benchmarks.results.store import read_result
from tests.leaderboards.synthetic import make_setup, write_model, write_run

Config = Mapping[str, Any]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"weights": "fold1"}, {"weights": "fold2"}),
        ({"weights": "r50-1/1.pt"}, {"weights": "r50-2/2.pt"}),
        ({"weights": "/ckpt/hsnet/fold1"}, {"weights": "fold2"}),  # as committed
        ({"weights": "/here/best.pt"}, {"weights": "/there/best.pt"}),
        ({"layer": "block1"}, {"layer": "block1"}),
        ({"size": 320, "clip": None}, {"size": 320.0}),
        ({"weights": "split1.pth"}, {"weights": "split2.pth"}),
        ({"predictions_sha256": "1f"}, {"predictions_sha256": "2f"}),
        ({"sizes": [1, 2], "net": {"depth": 2}}, {"sizes": (1, 2), "net": {"depth": 2}}),
    ],
)
def test_the_same(first: Config, second: Config) -> None:
    setups = make_setup(fold=1, config=first), make_setup(fold=2, config=second)
    assert other_option(*setups) is None


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"size": 320}, {"size": 224}, "size"),
        ({"preset": "fss"}, {"preset": "coco"}, "preset"),
        ({"preset": "fss"}, {}, "preset"),
        ({"backbone": "resnet11"}, {"backbone": "resnet22"}, "backbone"),
        ({"model": "sam-v1"}, {"model": "sam-v2"}, "model"),
        ({"ratio": "1"}, {"ratio": "2"}, "ratio"),
        ({"ratio": "0.1"}, {"ratio": "0.2"}, "ratio"),
        ({"weights": "imagenet.pt"}, {"weights": "broken.pt"}, "weights"),
    ],
)
def test_another(first: Config, second: Config, name: str) -> None:
    setups = make_setup(fold=1, config=first), make_setup(fold=2, config=second)
    said = f"{name} = {first[name]!r} on fold 1, {second.get(name)!r} on fold 2"
    assert other_option(*setups) == said


def test_what_was_trained_for_a_fold_may_be_called_anything() -> None:
    own = [
        make_setup(fold=fold, trained_fold=fold, config={"weights": file, "size": 400, "net": net})
        for fold, file, net in ((1, "a/77.pt", "r50"), (2, "b/31.pt", "r50"), (2, "b.pt", "r101"))
    ]
    bare = [make_setup(fold=n, trained_fold=n, config={"weights": f"coco{n}"}) for n in (1, 2)]
    assert other_option(*bare) is None
    assert other_option(own[0], own[1]) is None
    assert other_option(own[0], own[2]) == "net = 'r50' on fold 1, 'r101' on fold 2"


def test_folds_with_other_options_have_no_mean_together(tmp_path: Path) -> None:
    keys = [
        write_run(tmp_path, fold=fold, config={"size": size})
        for fold, size in ((0, 320), (1, 224), (2, 320))
    ]
    found = evaluations(read_result(tmp_path, key) for key in keys)
    assert [[r.key.fold for r in own.results] for own in found] == [[0, 2], [1]]


def test_folds_of_other_data_have_no_mean_together(tmp_path: Path) -> None:
    keys = [write_run(tmp_path, fold=fold, digest=str(fold % 2) * 64) for fold in (0, 1, 2)]
    found = evaluations(read_result(tmp_path, key) for key in keys)
    assert [[r.key.fold for r in own.results] for own in found] == [[0, 2], [1]]


def test_folds_that_lack_are_said(tmp_path: Path) -> None:
    keys = write_model(tmp_path, "alpha")
    (some,) = evaluations(read_result(tmp_path, key) for key in keys[::2])
    (whole,) = evaluations(read_result(tmp_path, key) for key in keys)
    assert (some.of, whole.of) == (4, 4)
    assert "1-shot, 2 of 4 folds (0, 2): mIoU" in str(some)
    assert "1-shot, folds 0, 1, 2, 3: mIoU" in str(whole)


def test_the_table_of_folds_that_were_not_asked_the_same(tmp_path: Path) -> None:
    keys = [write_run(tmp_path, fold=fold, presence=fold == 0) for fold in (0, 1)]
    (own,) = evaluations(read_result(tmp_path, key) for key in keys)
    assert own.table().column("presence").null_count == 40
