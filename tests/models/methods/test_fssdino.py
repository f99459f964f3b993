"""FSSDINO: the Gram energy against the matrix, k-means, and what supports may lack."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.fssdino import FSSDINO, prototypes, similarity


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> FSSDINO:
    return load_model("fssdino", {"random": "tiny"})


def segment(model: FSSDINO, mask: Tensor, seed: int = 0) -> Tensor:
    images = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], mask[None], features[1:])
    return model.segment(features[:1], [supports], seeds=[seed])[0]


def test_it_keeps_the_contract(model: FSSDINO) -> None:
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []


def test_the_last_map_is_the_energy_under_the_gram_matrix() -> None:
    patches, rows = gaussian(16, 3, 4), gaussian(7, 16, seed=1)
    unit = F.normalize(rows.double(), dim=1)
    flat = patches.flatten(1).double()
    energy = (flat * (unit.T @ unit / 7 @ flat)).sum(0)
    wanted = (energy - energy.min()) / (energy.max() - energy.min())
    found = similarity(patches, rows[:2], rows)
    assert found.shape == (3, 3, 4)
    torch.testing.assert_close(found[2].flatten(), wanted.float())
    cosine = F.cosine_similarity(patches.flatten(1).T, rows[1][None])
    torch.testing.assert_close(found[1].flatten(), cosine)


def test_clusters_by_direction_are_found_whatever_the_length() -> None:
    directions = torch.eye(8)[:3]
    rows = torch.cat([scale * directions + 0.01 * gaussian(3, 8) for scale in (1.0, 5.0, 9.0)])
    centres = prototypes(rows, 3, np.random.RandomState(1))
    assert sorted((F.normalize(centres, dim=1) @ directions.T).argmax(1).tolist()) == [0, 1, 2]
    torch.testing.assert_close(centres.amax(1), torch.full((3,), 5.0), atol=0.05, rtol=0)


def test_few_rows_are_their_own_prototypes() -> None:
    rows = gaussian(4, 8)
    draw = np.random.RandomState(0)
    assert prototypes(rows, 5, draw) is rows
    torch.testing.assert_close(prototypes(rows, 1, draw), rows.mean(0, keepdim=True))
    same = rows[:1].expand(6, 8)  # all but one centre lose their rows in every round
    torch.testing.assert_close(prototypes(same, 5, draw), rows[:1].expand(5, 8))


def test_supports_without_a_kind_leave_the_other_everywhere(model: FSSDINO) -> None:
    assert (segment(model, torch.zeros(64, 64)) < 0).all()
    assert (segment(model, torch.ones(64, 64)) > 0).all()


def test_the_episode_seeds_the_first_centres(model: FSSDINO) -> None:
    mask = torch.zeros(64, 64)
    mask[:, :40] = 1
    assert torch.equal(segment(model, mask, 3), segment(model, mask, 3))
    assert any(not torch.equal(segment(model, mask, 3), segment(model, mask, s)) for s in range(3))


def test_what_is_read_is_said(model: FSSDINO) -> None:
    assert model.config["layer"] == "prenorm"
    options = {"backbone": "efficientnet-lite0", "weights": "random", "size": 64}
    other = load_model("fssdino", options)
    assert other.config["layer"] != "prenorm"
    assert load_model("fssdino", {"random": "tiny", "size": 96}).config["size"] == 96


@pytest.mark.parametrize(("option", "value"), [("weights", "random"), ("backbone", "resnet50")])
def test_what_random_replaces_is_refused_beside_it(option: str, value: str) -> None:
    with pytest.raises(ModelError, match=f"{option} or random, not both"):
        load_model("fssdino", {"random": "tiny", option: value})
