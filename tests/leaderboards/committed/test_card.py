"""Model-index metadata, and which runs a user means."""

from pathlib import Path

import pytest
import yaml

from benchmarks.errors import BenchError
from benchmarks.results.store import RunKey, find_runs, read_result
from leaderboards.committed.card import model_index
from leaderboards.committed.select import select
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import write_model, write_run


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    for shots in (1, 5):
        write_model(tmp_path, "alpha", shots=shots)
    write_model(tmp_path, "halfway", folds=2)
    write_model(tmp_path, "quick", count=10, limit=10)
    found = [read_result(tmp_path, key) for key in find_runs(tmp_path)]
    index = yaml.safe_load(model_index(found))["model-index"]
    name, metrics = model_index_to_eval_results(index)
    assert name == "alpha" and len(index) == 1
    assert [(m.metric_name, m.dataset_name) for m in metrics] == [
        ("mIoU", "toy, fixed-v1, 1-shot"),
        ("FB-IoU", "toy, fixed-v1, 1-shot"),
        ("mIoU", "toy, fixed-v1, 5-shot"),
        ("FB-IoU", "toy, fixed-v1, 5-shot"),
    ]
    row = settings(found)[0].rows[0]
    assert row.miou is not None
    assert metrics[0].metric_value == round(100 * row.miou.value, 2)
    assert metrics[0].metric_args["folds"] == [
        round(100 * row.folds[fold].miou.value, 2) for fold in range(4)
    ]
    assert metrics[0].dataset_revision == "d" * 64


def test_a_model_trained_for_one_fold_has_that_fold(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path, fold=2, trained_fold=2))
    (model,) = yaml.safe_load(model_index([result]))["model-index"]
    (entry,) = model["results"]
    assert entry["dataset"]["name"] == "toy fold 2, fixed-v1, 1-shot"
    assert entry["metrics"][0]["value"] == round(100 * result.record.miou, 2)


def test_a_card_of_nothing_is_refused(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path, fold=2))
    with pytest.raises(BenchError, match="a card needs all folds"):
        model_index([result])


def test_results_of_other_lists_have_no_card_together(tmp_path: Path) -> None:
    keys = [*write_model(tmp_path, "alpha"), *write_model(tmp_path, "beta", count=30)]
    with pytest.raises(BenchError, match=r"fold0_1shot does not fit the other results: measured"):
        model_index(read_result(tmp_path, key) for key in keys)


KEYS = [
    RunKey(dataset, "fixed-v1", model, fold, shots)
    for dataset in ("camvid", "shapes")
    for model in ("dense-nn", "prototype")
    for fold in (0, 1)
    for shots in (1, 5)
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dense-nn", 8),
        ("shapes/dense-nn", 4),
        ("shapes/fixed-v1/dense-nn", 4),
        ("dense-nn/fold0_1shot", 2),
        ("shapes/fixed-v1/dense-nn/fold1_5shot", 1),
        ("camvid", 8),
        ("/camvid/", 8),
    ],
)
def test_runs_are_named_by_parts_of_their_path(text: str, found: int) -> None:
    selected = select(KEYS, text)
    assert len(selected) == found
    assert all(set(text.strip("/").split("/")) <= set(str(key).split("/")) for key in selected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dense-nm", "did you mean dense-nn"),
        ("dense-nn/shapes", "there is no result called 'dense-nn/shapes'"),
        ("dense", "there is no result"),
    ],
)
def test_an_unknown_run_is_answered_with_near_ones(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        select(KEYS, text)


def test_without_results_the_answer_is_to_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(BenchError, match="run: bench run"):
        select([], "dense-nn")
