"""`sd-features` is the matcher that it names, over the backbone of that name."""

from pathlib import Path

import pytest
import torch

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.diffews.parts import save_parts
from models.methods.diffews.shipped import WEIGHTS
from models.methods.diffews.synthetic import untrained_parts
from models.weights.source import write_tensors
from models.weights.trained_on import TrainedOn


@pytest.mark.parametrize("matcher", ["dense-nn", "prototype"])
def test_it_is_the_matcher_over_the_backbone(tmp_path: Path, matcher: str) -> None:
    save_parts(untrained_parts("tiny", 0, 77), None, tmp_path)
    ours = load_model("sd-features", {"checkpoint": str(tmp_path), "matcher": matcher, "size": 64})
    theirs = load_model(matcher, {"backbone": "sd-features", "weights": str(tmp_path), "size": 64})
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 64, 64, generator=generator)
    masks = torch.zeros(2, 64, 64)
    masks[:, :32] = 1
    scores = []
    for model in (ours, theirs):
        features = model.encode_image(images)
        supports = model.encode_support(images, masks, features)
        scores.append(model.segment(features[:1], [supports]))
    assert torch.equal(*scores)
    assert ours.image_key == theirs.image_key and ours.weights_digest == theirs.weights_digest


@pytest.mark.parametrize("matcher", ["dense-nn", "prototype"])
def test_it_keeps_the_contract(matcher: str) -> None:
    options = {"random": "tiny", "size": 64, "ensemble": 2, "matcher": matcher}
    findings = check_segmenter(load_model("sd-features", options))
    assert [f for f in findings if not f.passed] == []


def test_random_weights_are_not_comparable() -> None:
    assert not load_model("sd-features", {"random": "tiny"}).comparable


def test_a_unet_that_was_trained_on_a_fold_is_kept_to_it() -> None:
    model = load_model("sd-features", {"checkpoint": str(WEIGHTS), "block": "up0", "size": 64})
    assert [(entry.dataset, entry.fold) for entry in model.trained_on] == [("shapes", 0)]


@pytest.mark.parametrize("checkpoint", ["plain", "coco_fold0"])
def test_a_unet_in_a_file_says_itself_what_it_was_trained_on(
    tmp_path: Path, checkpoint: str
) -> None:
    parts = untrained_parts("tiny", 0, 77)
    save_parts(parts, None, tmp_path / checkpoint)
    state = parts.unet.state_dict()
    write_tensors(tmp_path / "told.safetensors", state, [TrainedOn("coco", 1, "")])
    write_tensors(tmp_path / "untold.safetensors", state)
    options = {"checkpoint": str(tmp_path / checkpoint), "size": 64}
    for name, expected in (("told", [("coco", 1)]), ("untold", [])):
        model = load_model(
            "sd-features", {**options, "unet": str(tmp_path / f"{name}.safetensors")}
        )
        assert [(entry.dataset, entry.fold) for entry in model.trained_on] == expected


def test_two_sources_of_weights_are_refused() -> None:
    with pytest.raises(ModelError, match="checkpoint or random, not both"):
        load_model("sd-features", {"checkpoint": str(WEIGHTS), "random": "tiny"})


def test_a_hub_id_is_no_folder() -> None:
    with pytest.raises(ModelError, match=r"finds no folder a/sd21: give .* checkpoint=DIR, or ran"):
        load_model("sd-features", {"checkpoint": "a/sd21"})
