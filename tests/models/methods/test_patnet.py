"""PATNet: its transformation against the authors' formula written out, and its checkpoints."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16
from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.hsnet.correlation import Cosine, correlate
from models.methods.hsnet.levels import bare_backbone
from models.methods.hsnet.network import tiny_backbone
from models.methods.patnet import Anchored, PATNetwork


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_mask(kind: str) -> Tensor:
    mask = torch.zeros(24, 24)
    if kind == "box":
        mask[3:15, 5:20] = 1
    elif kind == "pixel":
        mask[0, 0] = 1
    elif kind == "full":
        mask[:] = 1
    return mask


def slow_transformation(query: Tensor, support: Tensor, mask: Tensor, anchors: Tensor) -> Tensor:
    """`Transformation_Feature` of one map, C×h×w, with the C×C matrix P; then HSNet's correlation.

    In float64, for P's error grows with how alike the two prototypes are; but for the mask, where
    a full one is resized to 1 and a last bit less, of which the authors make a background.
    """
    soft = F.interpolate(mask[None, None], support.shape[1:], mode="bilinear", align_corners=True)
    query, support, soft, anchors = (t.double() for t in (query, support, soft[0, 0], anchors))
    foreground = (support * soft).mean((1, 2)) / (soft.mean() + 1e-6)
    background = (support * (1 - soft)).mean((1, 2)) / ((1 - soft).mean() + 1e-6)
    prototypes = torch.stack([background, foreground])
    prototypes = prototypes / (prototypes.square().sum(1, keepdim=True).sqrt() + 1e-6)
    anchors = anchors / (anchors.square().sum(1, keepdim=True).sqrt() + 1e-6)
    matrix = (torch.pinverse(prototypes) @ anchors).T
    moved_query = matrix @ query.flatten(1)
    moved_support = matrix @ (support * soft).flatten(1)
    moved_query = moved_query / (moved_query.norm(dim=0) + 1e-5)
    moved_support = moved_support / (moved_support.norm(dim=0) + 1e-5)
    grid = query.shape[1:]
    return (moved_query.T @ moved_support).clamp_min(0).view(*grid, *grid)


@pytest.mark.parametrize("kind", ["box", "pixel", "empty", "full"])
def test_correlations_of_moved_features_equal_the_formula(kind: str) -> None:
    query, support = gaussian(3, 16, 6, 6, seed=1), gaussian(3, 16, 6, 6, seed=2)
    anchors = gaussian(3, 2, 16, seed=3)
    mask = some_mask(kind)
    comparison = Anchored([anchors])
    kept = comparison.support(0, support, mask)
    vectors = comparison.query(0, query, kept)
    assert vectors.shape[1] == kept["vectors"].shape[1] == 2
    found = correlate(vectors, kept["vectors"], kept["inside"], (6, 6))
    for index in range(3):
        wanted = slow_transformation(query[index], support[index], mask, anchors[index])
        torch.testing.assert_close(found[index], wanted.float(), rtol=1e-3, atol=1e-4)
    assert (found.amax() > 0) == (kind != "empty")


def test_moved_features_differ_from_the_features() -> None:
    query, support, mask = (
        gaussian(1, 16, 6, 6, seed=1),
        gaussian(1, 16, 6, 6, seed=2),
        some_mask("box"),
    )
    found = []
    for comparison in (Cosine(), Anchored([gaussian(1, 2, 16)])):
        kept = comparison.support(0, support, mask)
        vectors = comparison.query(0, query, kept)
        found.append(correlate(vectors, kept["vectors"], kept["inside"], (6, 6)))
    assert (found[0] - found[1]).abs().amax() > 0.1


def test_each_level_of_a_resnet_has_its_anchors() -> None:
    network = PATNetwork(ResNet((1, 4, 6, 3), 4))
    weights = [network.get_parameter(f"reference_layer{n}.weight") for n in (1, 2, 3)]
    for level, weight, count in zip(network.anchors(), weights, (4, 6, 3), strict=True):
        assert level.shape[0] == count
        assert all(torch.equal(row, weight) for row in level)


def test_maps_of_vgg_have_the_anchors_that_their_number_says() -> None:
    network = PATNetwork(VGG16())
    weights = [network.get_parameter(f"reference_layer{n}.weight") for n in (1, 2, 3)]
    rows = [row for level in network.anchors() for row in level]
    used = [next(n for n, w in enumerate(weights, 1) if torch.equal(row, w)) for row in rows]
    assert used == [1, 1, 1, 1, 2, 2, 2]


def test_checkpoint_of_data_parallel_is_read_whole(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = PATNetwork(tiny_backbone())
    path = tmp_path / "best_model.pt"
    torch.save(torch.nn.DataParallel(network).state_dict(), path)
    model = load_model("patnet", {"weights": str(path), "size": 64})
    assert model.network.state_dict().keys() >= {
        f"reference_layer{n}.{part}" for n in (1, 2, 3) for part in ("weight", "bias")
    }
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)
    assert model.comparable
    assert model.card.sees_test_classes["pascal"] == "yes"


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    network = PATNetwork(tiny_backbone())
    path = tmp_path / "best_model.pt"
    torch.save(network.state_dict(), path)
    with pytest.raises(ModelError, match=r"does not fit hsnet: 6 unexpected \(reference_layer"):
        load_model("hsnet", {"weights": str(path), "size": 64})
    with pytest.raises(ModelError, match=r"patnet has no weights.*none is released"):
        load_model("patnet")
    with torch.device("meta"):
        names = PATNetwork(ResNet((3, 4, 6, 3))).state_dict()
        assert isinstance(bare_backbone(names), ResNet)
        with pytest.raises(ModelError, match="no ResNet-101"):
            PATNetwork(ResNet((3, 4, 23, 3)))


def test_it_keeps_the_contract_and_shares_features_with_hsnet() -> None:
    model = load_model("patnet", {"random": "tiny"})
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []
    other = load_model("hsnet", {"random": "tiny"})
    assert model.image_key == other.image_key


def test_half_precision_moves_features_in_full() -> None:
    images = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(1, 64, 64)
    masks[:, 16:48, 8:40] = 1
    scores = []
    for dtype in ("fp32", "bf16"):
        model = load_model("patnet", {"random": "tiny"}, dtype=dtype)
        features = model.encode_image(images)
        supports = model.encode_support(images[1:], masks, features[1:])
        assert supports[0]["level2.vectors"].dtype == torch.float32
        scores.append(model.segment(features[:1], [supports]))
    spread = scores[0].std()
    assert (scores[0] - scores[1]).abs().mean() < spread
