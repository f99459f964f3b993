"""`sam_input=padded`: SAM alone sees another image; points and masks are brought there and back."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.geometry import LongestSide, Native, Squash
from models.methods.dino_sam import DinoSam
from models.methods.sam.frame import Frame, Squashed

MODELS = ("gf-sam", "matcher", "vrp-sam")
HEIGHT, WIDTH = 36, 60


def load(name: str, sam_input: str = "padded") -> Any:
    return load_model(name, {"random": "tiny", "sam_input": sam_input})


def picture() -> Image.Image:
    coarse = np.random.default_rng(5).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT))


def seen(model: Any) -> Tensor:
    """The picture as it comes to a model, 1×3×H×W in 0..1."""
    return model.geometry.image(picture())[None].float().div(255)


@pytest.mark.parametrize("name", MODELS)
def test_the_contract_is_kept(name: str) -> None:
    model = load(name)
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []
    assert model.geometry == Native(1)


@pytest.mark.parametrize("name", MODELS)
def test_the_embedding_is_persams(name: str) -> None:
    persam, padded = load_model("persam", {"random": "tiny"}), load(name)
    embeddings = [model.encode_image(seen(model))[0]["embedding"] for model in (persam, padded)]
    assert torch.equal(*embeddings)
    squashed = load(name, "authors")
    assert not torch.allclose(embeddings[0], squashed.encode_image(seen(squashed))[0]["embedding"])
    keys = [[part.key for part in model.image_parts] for model in (padded, squashed)]
    # The squashed image that GF-SAM and Matcher give to SAM is told from it by the geometry.
    assert persam.image_key in keys[0] and persam.geometry == padded.geometry != squashed.geometry


@pytest.mark.parametrize("name", ["gf-sam", "matcher"])
def test_dinov2_and_masks_are_as_the_authors_have_them(name: str) -> None:
    authors, padded = load(name, "authors"), load(name)
    first, second = (model.encode_image(seen(model))[0] for model in (authors, padded))
    assert torch.equal(first["patches"], second["patches"])
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[7:30, 11:40] = 1
    supports = []
    for model, features in ((authors, first), (padded, second)):
        mask = model.geometry.mask(label)[None].float()
        supports += model.encode_support(seen(model), mask, [features])
    assert all(torch.equal(own, supports[1][key]) for key, own in supports[0].tensors.items())


@pytest.mark.parametrize("name", ["gf-sam", "matcher"])
def test_results_tell_the_input_that_is_not_the_authors(name: str) -> None:
    authors, padded = load(name, "authors"), load(name)
    assert padded.config == {**authors.config, "sam_input": "padded"}


def test_a_part_is_named_by_all_that_its_network_sees() -> None:
    loaded = [load(name, how) for name in ("gf-sam", "matcher") for how in ("authors", "padded")]
    keys = {(model.image_parts[0].key, model.geometry) for model in loaded}
    assert len(keys) == 4
    dense = load_model(
        "dense-nn",
        {"backbone": "dinov2-tiny", "weights": "random", "layer": "prenorm", "size": 112},
    )
    assert (dense.image_key, dense.geometry) in keys


def test_a_place_and_its_mask_fall_together() -> None:
    """A dot at a place of the frame is found, squashed, at the point that led there."""
    side, size = 80, (HEIGHT, WIDTH)
    view = Squashed(Frame(size, 64), side)
    height, width = LongestSide(64).content(size)
    corners = torch.tensor([[0.0, 0], [side, side], [side / 2, side / 4]])
    expected = torch.tensor([[0.0, 0], [width, height], [width / 2, height / 4]])
    torch.testing.assert_close(view.points(corners), expected)
    point = torch.tensor([[55.0, 30.0]])
    x, y = view.points(point)[0].round().long().tolist()
    dot = torch.zeros(1, 64, 64)
    dot[0, y, x] = 1
    found = view.restored(dot)
    row, column = divmod(int(found.argmax()), side)
    assert found.shape == (1, side, side)
    assert abs(column - 55) <= 2 and abs(row - 30) <= 2


def test_of_a_squashed_image_the_view_is_plain_scaling() -> None:
    side, logits = 112, torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    view = Squashed(Frame((side, side), 64), side)
    points = torch.tensor([[[7.0, 21.0]], [[105.0, 63.0]]])
    assert torch.equal(view.points(points), points * (64 / side))
    big = F.interpolate(logits[:, None], (64, 64), mode="bilinear")
    assert torch.equal(
        view.restored(logits), F.interpolate(big, (side, side), mode="bilinear")[:, 0]
    )


@pytest.mark.parametrize("name", ["gf-sam", "matcher"])
def test_prompts_lie_in_the_frame(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(name)
    networks: DinoSam = model.networks
    given: list[Tensor] = []
    prompt = type(model.sam).prompt

    def watched(sam: Any, points: Tensor, *rest: Any) -> Any:
        given.append(points.flatten(0, 1))
        return prompt(sam, points, *rest)

    monkeypatch.setattr(type(model.sam), "prompt", watched)
    features = model.encode_image(seen(model))
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[:, WIDTH // 2 :] = 1
    mask = model.geometry.mask(label)[None].float()
    supports = model.encode_support(seen(model), mask, features)
    extras = {"seeds": [1]} if name == "matcher" else {}
    scores = model.segment(features, [supports], **extras)
    height, width = Frame((HEIGHT, WIDTH), networks.sam.size).content
    places = torch.cat(given)
    assert len(places) > 1 and bool((places < torch.tensor([width, height])).all())
    square = Squash(networks.square).grid((HEIGHT, WIDTH))
    assert tuple(scores.shape[1:]) == square
