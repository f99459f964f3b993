"""How much of a test was seen in training."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.errors import BenchError
from datasets_prep.datasets.coco.classes import CLASSES as COCO
from datasets_prep.datasets.isaid import CLASSES as ISAID
from datasets_prep.datasets.pascal.release import CLASSES as PASCAL
from leaderboards.build import build
from leaderboards.committed.collect import Places, collect
from leaderboards.statistics import seen as module
from leaderboards.statistics.scores import settings
from leaderboards.statistics.seen import Training, seen, training
from tests.leaderboards.synthetic import write_run
from tests.leaderboards.test_build import cells
from tests.tiny import tiny_dataset


def on_coco(root: Path, name: str, *entries: tuple[str, int | None], **changes: Any) -> None:
    """Runs on COCO-20i's four folds."""
    trained = [{"dataset": d, "fold": f, "source": "the test"} for d, f in entries]
    for fold in range(4):
        classes = {index: COCO[index] for index in range(fold, 80, 4)}
        write_run(
            root, name=name, dataset="coco", fold=fold, classes=classes,
            trained_on=trained or None, **changes,
        )  # fmt: skip


def shares(root: Path) -> dict[str, str]:
    (setting,) = settings(collect(Places(root, root / "none")).results)
    known = training([setting], root)
    return {row.model.name: str(seen(row, known)) for row in setting.rows}


def test_the_share_of_classes_follows_from_what_was_trained_on(tmp_path: Path) -> None:
    on_coco(tmp_path, "all", ("coco", None), sees_test_classes="yes")
    on_coco(tmp_path, "voc", ("pascal", None), sees_test_classes="unknown")
    on_coco(tmp_path, "both", ("pascal", None), ("ade20k", None), sees_test_classes="unknown")
    on_coco(tmp_path, "none", sees_test_classes="no")
    on_coco(tmp_path, "silent", sees_test_classes="partly")
    assert shares(tmp_path) == {
        "all": "80 of 80",
        "voc": "20 of 80",
        "both": "at least 20 of 80",
        "none": "0 of 80",
        "silent": "None",
    }


def test_a_fold_was_trained_on_its_base_classes_alone(tmp_path: Path) -> None:
    classes = {index: COCO[index] for index in range(2, 80, 4)}
    trained = [{"dataset": "coco", "fold": 2, "source": "the test"}]
    write_run(
        tmp_path, name="fold", dataset="coco", fold=2, classes=classes, trained_fold=2,
        trained_on=trained,
    )  # fmt: skip
    assert shares(tmp_path) == {"fold": "0 of 20"}
    on_coco(tmp_path, "other")
    found = settings(collect(Places(tmp_path, tmp_path / "none")).results)
    known = training(found, tmp_path)
    voc = {index: name for index, name in enumerate(PASCAL)}
    write_run(
        tmp_path / "voc", name="fold", dataset="voc", folds=1, classes=voc, trained_on=trained
    )
    (setting,) = settings(collect(Places(tmp_path / "voc", tmp_path / "none")).results)
    own = seen(setting.rows[0], known)
    base = {name for index, name in enumerate(COCO) if index % 4 != 2}
    words = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch"}
    words |= {"tvmonitor": "tv", "diningtable": "dining table", "pottedplant": "potted plant"}
    expected = sum(words.get(name, name) in base for name in PASCAL)
    assert own is not None and (own.classes, own.of) == (expected, 20)
    nothing = seen(setting.rows[0], Training())
    assert str(nothing) == "at least 0 of 20"


def test_pages_show_shares_and_sources(tmp_path: Path) -> None:
    on_coco(tmp_path / "r", "both", ("pascal", None), ("ade20k", None), sees_test_classes="yes")
    on_coco(tmp_path / "r", "silent", sees_test_classes="partly")
    (tmp_path / "leaks.json").write_text(
        json.dumps({"pascal": {"coco": [["train of pascal", "test of coco", 50, 7]]}})
    )
    build(tmp_path / "r", tmp_path)
    rows = {row["Model"]: row for row in cells((tmp_path / "boards/coco.md").read_text(), "Model")}
    assert rows["both"]["Test classes seen"] == "at least 20 of 80"
    assert rows["silent"]["Test classes seen"] == "partly"
    assert rows["both"]["Text prompts"] == "no"
    data = json.loads((tmp_path / "boards/board.json").read_text())
    facts = {row["name"]: row["provenance"]["facts"] for row in data["settings"][0]["rows"]}
    assert facts["both"]["Test classes seen"] == "pascal: 20 of 80; ade20k: not known"
    assert facts["both"]["Test images seen"] == "7 of 50 images (test of coco) in train of pascal"
    (tmp_path / "leaks.json").write_text("[1]")
    with pytest.raises(BenchError, match=r"leaks\.json is damaged"):
        build(tmp_path / "r", tmp_path)


def test_leaks_are_noted_for_the_boards(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    arguments = ["datasets", "leaks", "tiny", "--exact", "--note", "--quiet"]
    arguments += ["--boards", str(tmp_path), "--data-root", str(tmp_path / "data")]
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code in (0, 1), said.output
    noted = module.read_leaks(tmp_path)["tiny"]["tiny"]
    assert [row[:2] for row in noted] == [
        ("train of fold 0", "test of fold 0"), ("train of fold 1", "test of fold 1")
    ]  # fmt: skip
    assert all(images >= met > 0 for _, _, images, met in noted)  # the two lists share their images


def test_class_names_are_those_of_the_datasets() -> None:
    names = yaml.safe_load(module._CLASSES.read_text())
    assert names == {"coco": list(COCO), "isaid": list(ISAID), "pascal": list(PASCAL)}
