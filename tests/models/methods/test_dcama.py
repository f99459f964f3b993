"""DCAMA: its attention against a plain loop, its checkpoints, and what supports do to it."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.backbones.resnet import ResNet
from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.dcama import DCAMA, Attention, DCAMANetwork, Position
from models.methods.hsnet.network import tiny_backbone


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> DCAMA:
    return load_model("dcama", {"random": "tiny"})


def test_it_keeps_the_contract(model: DCAMA) -> None:
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []


def test_each_place_gets_the_mean_of_the_heads_shares() -> None:
    torch.manual_seed(0)
    attention = Attention(16)
    query, keys, mask = gaussian(3, 16), gaussian(5, 16, seed=1), torch.tensor([1.0, 0, 1, 0.5, 0])
    rows, columns = (
        linear(tokens).detach()
        for linear, tokens in zip(attention.linears, (query, keys), strict=True)
    )
    found = attention(query, keys, mask).detach()
    for place in range(3):
        shares = []
        for head in range(8):
            part = slice(2 * head, 2 * head + 2)
            scores = [float(rows[place, part] @ key[part]) / math.sqrt(2) for key in columns]
            weights = [math.exp(score) for score in scores]
            inside = sum(w * float(m) for w, m in zip(weights, mask, strict=True))
            shares.append(inside / sum(weights))
        assert float(found[place]) == pytest.approx(sum(shares) / 8, rel=1e-4)


def test_a_places_position_is_its_sines_and_cosines() -> None:
    table = Position(8).pe
    assert table.shape == (1, 10_000, 8)
    for index in range(4):
        angle = 37 / 10_000 ** (2 * index / 8)
        assert float(table[0, 37, 2 * index]) == pytest.approx(math.sin(angle), abs=1e-4)
        assert float(table[0, 37, 2 * index + 1]) == pytest.approx(math.cos(angle), abs=1e-4)


def test_a_support_given_twice_changes_nothing(model: DCAMA) -> None:
    images = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 8:40] = 1
    features = model.encode_image(images)
    support = model.encode_support(images[1:], mask, features[1:])
    once = model.segment(features[:1], [support])
    torch.testing.assert_close(once, model.segment(features[:1], [support * 2]))
    other = model.encode_support(images[1:], 1 - mask, features[1:])
    assert (once - model.segment(features[:1], [other])).abs().max() > 1e-4


def test_checkpoint_of_data_parallel_is_read_whole(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = DCAMANetwork(tiny_backbone())
    path = tmp_path / "best_model.pt"
    torch.save(torch.nn.DataParallel(network).state_dict(), path)
    model = load_model("dcama", {"weights": str(path), "size": 64})
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)
    assert model.comparable
    with pytest.raises(ModelError, match="does not fit hsnet"):
        load_model("hsnet", {"weights": str(path), "size": 64})


def test_the_names_of_a_resnet_50s_checkpoint_are_the_authors() -> None:
    with torch.device("meta"):
        state = DCAMANetwork(ResNet((3, 4, 6, 3))).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["feature_extractor.fc.weight"] == (1000, 2048)
    assert shapes["model.DCAMA_blocks.2.linears.1.weight"] == (2048, 2048)
    assert shapes["model.pe.0.pe"] == (1, 10_000, 512)
    assert shapes["model.conv1.0.weight"] == (16, 3, 3, 3)
    assert shapes["model.conv3.3.weight"] == (64, 16, 5, 5)
    assert shapes["model.conv5.7.bias"] == (128,)
    assert shapes["model.mixer1.0.weight"] == (128, 128 + 2 * 512 + 2 * 256, 3, 3)
    assert shapes["model.mixer3.2.weight"] == (2, 16, 3, 3)


def test_wrong_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"dcama has no weights.*pawn-sxy/DCAMA"):
        load_model("dcama")
    with pytest.raises(ModelError, match="400 is no multiple of 32"):
        parse_options("dcama", DCAMA, {"size": 400})
    with pytest.raises(ModelError, match="832 has more patches of 8×8 pixels than positions"):
        parse_options("dcama", DCAMA, {"size": 832})
    assert parse_options("dcama", DCAMA, {"size": 800}).side == 800
    path = tmp_path / "vgg.pt"
    torch.save({"feature_extractor.features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(ModelError, match="dcama has no VGG-16"):
        load_model("dcama", {"weights": str(path)})
