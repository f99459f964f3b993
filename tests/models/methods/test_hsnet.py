"""HSNet: its 4D algebra against loops, its vote by hand, its checkpoints by name."""

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16
from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.hsnet.conv4d import CenterPivotConv4d, resize_query
from models.methods.hsnet.correlation import Cosine, correlate, masked
from models.methods.hsnet.learner import HPNLearner
from models.methods.hsnet.levels import bare_backbone, depths, read_levels, widths
from models.methods.hsnet.network import HSNetwork, tiny_backbone
from models.methods.hsnet.voting import combine


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def episode(side: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """A query, two supports with overlapping masks."""
    images = torch.rand((3, 3, side, side), generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(2, side, side)
    masks[0, 8:40, 16:48] = 1
    masks[1, 30:60, 5:20] = 1
    return images[:1], images[1:], masks


# The algebra


def loop_conv4d(x: Tensor, layer: CenterPivotConv4d) -> Tensor:
    """A whole 4D convolution, offset by offset, with a kernel that is zero off the pivots."""
    first, second = layer.conv1.weight, layer.conv2.weight
    kernel, middle, stride = first.shape[-1], first.shape[-1] // 2, layer.stride
    dense = torch.zeros(*first.shape[:2], *(kernel,) * 4)
    dense[:, :, :, :, middle, middle] += first
    dense[:, :, middle, middle, :, :] += second
    padded = F.pad(x, (middle,) * 8)
    ha, wa = x.shape[2:4]
    hb, wb = (-(-side // stride) for side in x.shape[4:])
    out = torch.zeros(len(x), len(first), ha, wa, hb, wb)
    out += (layer.conv1.bias + layer.conv2.bias)[None, :, None, None, None, None]
    for a, b, c, d in itertools.product(range(kernel), repeat=4):
        window = padded[:, :, a : a + ha, b : b + wa, c:, d:][..., ::stride, ::stride]
        out += torch.einsum("ncijkl,oc->noijkl", window[..., :hb, :wb], dense[:, :, a, b, c, d])
    return out


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_4d_convolution_equals_dense_loops_at_sizes_that_change(kernel: int, stride: int) -> None:
    layer = CenterPivotConv4d(2, 3, kernel, stride)
    for size in [(3, 4, 5, 7), (2, 3, 6, 4), (4, 4, 9, 9)]:
        x = gaussian(2, 2, *size)
        torch.testing.assert_close(layer(x), loop_conv4d(x, layer), rtol=1e-4, atol=1e-5)


def test_query_dimensions_are_resized_plane_by_plane() -> None:
    x = gaussian(1, 2, 3, 4, 2, 3)
    resized = resize_query(x, (5, 6))
    for k, m in itertools.product(range(2), range(3)):
        plane = F.interpolate(x[..., k, m], (5, 6), mode="bilinear", align_corners=True)
        torch.testing.assert_close(resized[..., k, m], plane)


def loop_correlation(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """The authors' correlation of C×h×w maps, one pair of positions after the other."""
    soft = F.interpolate(mask[None, None], support.shape[1:], mode="bilinear", align_corners=True)
    support = support * soft[0, 0]
    height, width = query.shape[1:]
    out = torch.zeros(height, width, height, width)
    for i, j, k, m in itertools.product(*(range(n) for n in (height, width) * 2)):
        a, b = query[:, i, j], support[:, k, m]
        out[i, j, k, m] = max(0.0, float(a @ b / ((a.norm() + 1e-5) * (b.norm() + 1e-5))))
    return out


@pytest.mark.parametrize("kind", ["box", "pixel", "empty", "full"])
def test_correlation_equals_loops(kind: str) -> None:
    query, support = gaussian(2, 4, 3, 5, seed=1), gaussian(2, 4, 3, 5, seed=2)
    mask = torch.zeros(12, 20)
    if kind == "box":
        mask[2:7, 9:16] = 1
    elif kind == "pixel":
        mask[0, 0] = 1  # one between the sampled positions would vanish, in the original too
    elif kind == "full":
        mask[:] = 1
    cosine = Cosine()
    kept = cosine.support(0, support, mask)
    found = correlate(cosine.query(0, query, kept), kept["vectors"], kept["inside"], (3, 5))
    for index in range(2):
        torch.testing.assert_close(
            found[index], loop_correlation(query[index], support[index], mask)
        )
    assert (found.amax() > 0) == (kind != "empty")


def test_a_support_keeps_only_what_lies_under_its_mask() -> None:
    mask = torch.zeros(16, 16)
    mask[:4, :4] = 1
    under = masked(gaussian(2, 3, 8, 8), mask)
    assert under.vectors.shape == (2, 3, len(under.inside))
    assert 0 < len(under.inside) < 64
    assert torch.equal(under.mask.flatten().nonzero()[:, 0], under.inside)


# The vote


def test_votes_by_hand() -> None:
    one, none = 1.0, -1.0
    margins = torch.tensor(
        [
            [[one, one, one, none, none]],
            [[one, one, none, none, none]],
            [[one, one, none, none, none]],
            [[one, none, none, none, none]],
        ]
    )
    # Votes 4, 3, 1, 0, 0 of at most 4: half of the most is 2.
    assert combine(margins).gt(0).tolist() == [[True, True, False, False, False]]
    # Votes 1, 1, 1, 0, 0 of two supports: the most is 1, so one is enough.
    assert combine(margins[[0, 0]] * torch.tensor([1.0, -1.0])[:, None, None]).gt(0).all()
    # Without any vote there is no foreground.
    assert not combine(torch.full((3, 2, 2), -1.0)).gt(0).any()
    # One support keeps its margin.
    assert torch.equal(combine(margins[:1]), margins[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 7), st.integers(0, 10_000))
def test_votes_are_the_authors_rule(shots: int, seed: int) -> None:
    margins = gaussian(shots, 4, 5, seed=seed) - 1
    votes = (margins > 0).sum(0)
    share = votes.float() / max(int(votes.max()), 1)
    assert torch.equal(combine(margins) > 0, share >= 0.5)


# The networks


@pytest.mark.parametrize(
    ("maps", "parameters"),
    [((4, 6, 3), 2_573_794), ((4, 23, 3), 2_587_394), ((3, 3, 1), 2_570_018)],
)
def test_learner_has_the_published_number_of_parameters(
    maps: tuple[int, int, int], parameters: int
) -> None:
    with torch.device("meta"):
        learner = HPNLearner(maps)
    assert sum(p.numel() for p in learner.parameters()) == parameters
    wanted = {
        f"encoder_layer{block}.{row}.{part}"
        for block in ("4", "3", "2", "4to3", "3to2")
        for rows, parts in (((0, 3, 6), ("conv1.", "conv2.")), ((1, 4, 7), ("",)))
        for row, part in itertools.product(rows, parts)
    } | {f"decoder{n}.{row}." for n, row in itertools.product((1, 2), (0, 2))}
    names = {f"{stem.rstrip('.')}.{end}" for stem in wanted for end in ("weight", "bias")}
    assert learner.state_dict().keys() == names
    assert len(names) == 98


def test_levels_of_resnet_are_sums_before_the_relu() -> None:
    backbone = ResNet((1, 2, 3, 1), 4).eval()
    images = gaussian(2, 3, 64, 64)
    read = read_levels(backbone, images)
    assert [tuple(level.shape) for level in read] == [
        (2, 2, 32, 8, 8),
        (2, 3, 64, 4, 4),
        (2, 1, 128, 2, 2),
    ]
    assert depths(backbone) == (2, 3, 1)
    assert widths(backbone) == (32, 64, 128)
    x = F.max_pool2d(F.relu(backbone.bn1(backbone.conv1(images))), 3, 2, 1)
    x = F.relu(backbone.get_submodule("layer1.0")(x))
    first = backbone.get_submodule("layer2.0")(x)
    torch.testing.assert_close(read[0][:, 0], first)
    torch.testing.assert_close(read[0][:, 1], backbone.get_submodule("layer2.1")(F.relu(first)))
    assert all((level < 0).any() for level in read)


def test_levels_of_vgg_are_the_published_modules() -> None:
    backbone = VGG16().eval()
    images = gaussian(1, 3, 64, 64)
    wanted, x = [], images
    for index, module in enumerate(backbone.features):
        x = module(x)
        if index in (17, 19, 21, 24, 26, 28, 30):
            wanted.append(x)
    read = read_levels(backbone, images)
    found = [maps for level in read for maps in level.unbind(1)]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
    assert depths(backbone) == (3, 3, 1)


def slow_margin(network: HSNetwork, query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """The authors' forward pass on dense, masked features."""
    both = read_levels(network.backbone, torch.cat([query, support]))
    correlations = []
    for level in both:
        pairs = []
        for index in range(level.shape[1]):
            pairs.append(loop_correlation(level[0, index], level[1, index], mask))
        correlations.append(torch.stack(pairs)[None])
    logits = network.hpn_learner(correlations)
    logits = F.interpolate(logits, mask.shape, mode="bilinear", align_corners=True)[0]
    return logits[1] - logits[0]


def test_the_whole_equals_a_slow_transcription() -> None:
    model = load_model("hsnet", {"random": "tiny"})
    query, supports, masks = episode()
    q = model.encode_image(query)
    s = model.encode_support(supports, masks, model.encode_image(supports))
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        wanted = torch.stack(
            [
                slow_margin(model.network, (query - mean) / std, (image[None] - mean) / std, mask)
                for image, mask in zip(supports, masks, strict=True)
            ]
        )
    torch.testing.assert_close(model.segment(q, [s[:1]])[0], wanted[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model.segment(q, [s[1:]])[0], wanted[1], rtol=1e-3, atol=1e-5)
    assert torch.equal(model.binarize(model.segment(q, [s]))[0], combine(wanted) > 0)


# Checkpoints


def released(network: HSNetwork, path: Path) -> Path:
    """A checkpoint as the authors' code writes it: of a network in DataParallel."""
    torch.save(torch.nn.DataParallel(network).state_dict(), path)
    return path


def test_checkpoint_of_data_parallel_is_read_whole(tmp_path: Path) -> None:
    network = HSNetwork(ResNet((1, 2, 2, 1), 4))
    path = released(network, tmp_path / "best_model.pt")
    model = load_model("hsnet", {"weights": str(path), "size": 64})
    state = model.network.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], t) for name, t in network.state_dict().items())
    assert not model.network.training
    assert model.comparable
    assert model.geometry.grid((10, 20)) == (64, 64)
    assert model.card.weights == "best_model.pt"
    assert model.config["backbone"] == "resnet of 1+2+2+1 bottlenecks"


@pytest.mark.parametrize(
    ("make", "maps", "some"),
    [
        (lambda: ResNet((3, 4, 6, 3)), (4, 6, 3), "backbone.layer3.5.conv3.weight"),
        (lambda: ResNet((3, 4, 23, 3)), (4, 23, 3), "backbone.layer3.22.bn1.running_mean"),
        (VGG16, (3, 3, 1), "backbone.classifier.6.bias"),
    ],
)
def test_published_backbones_are_known_by_their_names(make, maps, some) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        names = HSNetwork(make()).state_dict()
        found = bare_backbone(names)
    assert some in names
    assert found is not None
    assert {f"backbone.{key}" for key in found.state_dict()} <= names.keys()
    assert depths(found) == maps


def test_folds_with_one_backbone_share_its_features(tmp_path: Path) -> None:
    torch.manual_seed(3)
    backbone = tiny_backbone()
    models = []
    for fold in range(2):
        path = released(HSNetwork(backbone), tmp_path / f"fold{fold}.pt")
        models.append(load_model("hsnet", {"weights": str(path), "size": 64}))
    assert models[0].weights_digest != models[1].weights_digest
    assert models[0].image_key == models[1].image_key


def test_messages_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"hsnet has no weights.*juhongm999/hsnet.*random=tiny"):
        load_model("hsnet")
    with pytest.raises(ModelError, match=r"size.*multiple of 32"):
        load_model("hsnet", {"random": "tiny", "size": 100})
    bare = tmp_path / "learner.pt"
    torch.save(HPNLearner((1, 1, 1)).state_dict(), bare)
    with pytest.raises(ModelError, match=r"learner.pt is no checkpoint of hsnet"):
        load_model("hsnet", {"weights": str(bare)})
    short = {
        k: v for k, v in HSNetwork(tiny_backbone()).state_dict().items() if "decoder2" not in k
    }
    torch.save(short, bare)
    with pytest.raises(ModelError, match=r"does not fit hsnet: 4 missing"):
        load_model("hsnet", {"weights": str(bare)})


def test_it_keeps_the_contract() -> None:
    model = load_model("hsnet", {"random": "tiny"})
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []
    assert not model.comparable
    assert model.card.sees_test_classes == {"*": "no"}
