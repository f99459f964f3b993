"""What a checkpoint says of its training follows its weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import ModelError
from models.weights.source import write_tensors
from models.weights.trained_on import TrainedOn, fold_of, parse, sees, told, told_by, united

COCO0 = TrainedOn("coco", 0, "x")


def weights(path: Path, *trained_on: TrainedOn) -> Path:
    write_tensors(path, {"a": torch.zeros(1)}, trained_on)
    return path


def said(path: Path) -> list[tuple[str, int | None, str]]:
    return [(entry.dataset, entry.fold, entry.source) for entry in told(path)]


def test_the_header_goes_where_the_file_goes(tmp_path: Path) -> None:
    file = weights(tmp_path / "a" / "model.safetensors", COCO0, TrainedOn("pascal", None, "x"))
    (tmp_path / "b").mkdir()
    moved = Path(shutil.move(file, tmp_path / "b" / "other.safetensors"))
    source = "header of other.safetensors"
    assert said(moved) == said(tmp_path / "b") == [("coco", 0, source), ("pascal", None, source)]


@pytest.mark.parametrize(
    "place", ["coco_fold2", "coco_fold2/unet", "coco_fold2/unet/unet", "runs/coco_fold2/best/unet"]
)
def test_the_authors_folders_say_their_fold(tmp_path: Path, place: str) -> None:
    weights(tmp_path / place / "diffusion_pytorch_model.safetensors")
    assert said(tmp_path / place) == [("coco", 2, "folder name coco_fold2")]


def test_weights_of_one_part_say_nothing_of_what_lies_beside_them(tmp_path: Path) -> None:
    base, apart = tmp_path / "pascal_fold1", tmp_path / "tuned" / "unet"
    weights(base / "vae" / "diffusion_pytorch_model.safetensors")
    (base / "training.json").write_text(json.dumps({"dataset": "pascal", "fold": 1}))
    weights(apart / "diffusion_pytorch_model.safetensors")
    assert told(apart) == ()
    weights(base / "unet" / "diffusion_pytorch_model.safetensors")
    assert said(base / "unet") == [("pascal", 1, "training.json")]


def test_other_folders_say_nothing(tmp_path: Path) -> None:
    for name in ("hsnet_fold0", "fold0", "coco_fold", "my_coco_fold0", "incontext2"):
        weights(tmp_path / name / "model.safetensors")
        assert told(tmp_path / name / "model.safetensors") == ()


def test_weights_trained_on_everything_have_no_fold(tmp_path: Path) -> None:
    weights(tmp_path / "incontext" / "unet" / "diffusion_pytorch_model.safetensors")
    found = told(tmp_path / "incontext" / "unet")
    assert sees(found, "coco") == sees(found, "pascal") == sees(found, "coco2pascal") == "yes"
    assert sees(found, "shapes") == "unknown"
    assert fold_of(found, "coco") is None


def test_sources_that_disagree_are_named(tmp_path: Path) -> None:
    weights(tmp_path / "coco_fold1" / "model.safetensors", COCO0)
    with pytest.raises(
        ModelError, match=r"fold 0 of coco \(header of .*fold 1 of coco \(folder name coco_fold1\)"
    ):
        told(tmp_path / "coco_fold1")
    with pytest.raises(ModelError, match="--trained-on"):
        united([COCO0, parse("coco:1")])


def test_a_fold_of_the_tested_dataset_alone_is_strict() -> None:
    other = TrainedOn("pascal", 1, "x")
    assert (sees([COCO0], "coco"), fold_of([COCO0], "coco")) == ("no", 0)
    # COCO-20i's folds are those of the transfer to VOC.
    assert (sees([COCO0], "coco2pascal"), fold_of([COCO0], "coco2pascal")) == ("no", 0)
    assert (sees([COCO0], "pascal"), fold_of([COCO0], "pascal")) == ("unknown", None)
    # VOC's base classes may be novel ones of COCO.
    assert sees([COCO0, other], "coco") == "unknown"
    assert sees([COCO0, TrainedOn("coco", None, "x")], "coco") == "yes"


def test_what_a_user_says_is_read() -> None:
    assert parse("coco:3") == TrainedOn("coco", 3, "--trained-on")
    assert parse("my-data").fold is None
    for wrong in ("", "coco:", "coco:x", "coco:-1", "a b:1", "../coco:1"):
        with pytest.raises(ModelError, match="expected DATASET:FOLD"):
            parse(wrong)


def test_every_place_that_the_options_name_is_asked(tmp_path: Path) -> None:
    file = weights(tmp_path / "model.safetensors", COCO0)
    (tmp_path / "isaid_fold1").mkdir()
    found = told_by({"weights": str(file), "sam": str(tmp_path / "isaid_fold1"), "size": 3})
    assert [(entry.dataset, entry.fold) for entry in found] == [("coco", 0), ("isaid", 1)]
    assert told_by({"weights": "facebook/sam-vit-huge"}) == ()


def test_hub_ids_and_folders_named_after_them_say_it_too(tmp_path: Path) -> None:
    name = "label_anything_coco_fold2_mae_2pnppb7k"
    weights(tmp_path / name / "model.safetensors")
    assert said(tmp_path / name) == [("coco", 2, f"folder name {name}")]
    for revision in ("", "@main"):
        found = told_by({"weights": f"pasqualedem/{name}{revision}"})
        assert found == (TrainedOn("coco", 2, f"hub id {name}"),)
    every = told_by({"weights": "pasqualedem/label_anything_mae_480_coco"})
    assert sees(every, "coco") == "yes" and fold_of(every, "coco") is None


@pytest.mark.parametrize(
    "text", ["{", "[1]", '[{"dataset": "coco"}]', '[{"dataset": "../x", "fold": 1}]', "3"]
)
def test_a_wrong_header_is_an_error(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", metadata={"trained_on": text})
    with pytest.raises(ModelError, match=r"in the header of .*m\.safetensors"):
        told(tmp_path / "m.safetensors")


@pytest.mark.parametrize("text", ["[]", "[1]", '{"dataset": "coco", "fold": true}', '"coco"'])
def test_a_wrong_record_is_an_error(tmp_path: Path, text: str) -> None:
    weights(tmp_path / "m.safetensors")
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(ModelError, match=r"cannot read .*training\.json"):
        told(tmp_path)
