"""ABCDFSS: losses and threshold against plain loops, and what an episode's fit may know."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.abcdfss import ABCDFSS
from models.methods.abcdfss.compare import attended, threshold
from models.methods.abcdfss.heads import Fitting, Head, Views, fit, sheared


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> ABCDFSS:
    return load_model("abcdfss", {"random": "tiny", "num_epochs": 1})


def segment(model: ABCDFSS, mask: Tensor, seed: int = 0) -> Tensor:
    images = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], mask[None], features[1:])
    return model.segment(features[:1], [supports], seeds=[seed])[0]


def test_it_keeps_the_contract(model: ABCDFSS) -> None:
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []


def test_a_shear_moves_points_as_its_tangents_say() -> None:
    maps = gaussian(1, 2, 21, 21)
    assert torch.equal(sheared(maps, [(0, 0)]), maps)
    moved = sheared(maps, [(45, 0), (0, 0)])
    assert moved.shape == (2, 2, 21, 21) and torch.equal(moved[1:], maps)
    for row in range(21):  # seen from the centre, x moves by y
        for column in range(21):
            source = column + row - 10
            wanted = maps[0, :, row, source] if 0 <= source < 21 else torch.zeros(2)
            assert torch.equal(moved[0, :, row, column], wanted)


def test_the_threshold_is_otsus_of_the_brighter_part_or_the_mean() -> None:
    scores = torch.cat([0.2 + 0.02 * gaussian(760), 0.7 + 0.02 * gaussian(40)]).view(20, 40)
    scores = torch.cat([scores, torch.zeros(1, 40)])
    low, high = scores.amin(), scores.amax()
    levels = [int(v) for v in ((scores - low) / (high - low) * 255).flatten()]
    levels = [level for level in levels if level >= 12]
    best, wanted = -1.0, 0
    for cut in range(256):
        below = [v for v in levels if v <= cut]
        above = [v for v in levels if v > cut]
        if below and above:
            gap = sum(below) / len(below) - sum(above) / len(above)
            spread = len(below) * len(above) * gap**2
            if spread > best * (1 + 1e-12):
                best, wanted = spread, cut
    expected = wanted / 255 * float(high - low) + float(low)
    assert threshold(scores) == pytest.approx(expected)
    bright = torch.full((10, 10), 0.9)
    bright[0, 0], bright[0, 1] = 0.0, 0.1
    assert threshold(bright) == pytest.approx(float(bright.mean()))
    assert threshold(torch.full((4, 4), 0.3)) == 0.5


def test_attention_shares_out_the_masks() -> None:
    query, supports = gaussian(8, 2, 3), gaussian(2, 8, 2, 3, seed=1)
    masks = torch.zeros(2, 2, 3)
    masks[0, 0], masks[1, 1, 2] = 1, 1
    found = attended(query, supports, masks)
    for row in range(2):
        for column in range(3):
            weights = {
                (shot, y, x): math.exp(
                    float(query[:, row, column] @ supports[shot, :, y, x]) / math.sqrt(8)
                )
                for shot in range(2)
                for y in range(2)
                for x in range(3)
            }
            inside = sum(w for (s, y, x), w in weights.items() if masks[s, y, x])
            assert found[row, column] == pytest.approx(inside / sum(weights.values()), rel=1e-4)


def test_fitting_parts_foreground_from_background() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(2, 6, 6)
    mask[:, :, :3] = 1
    maps = gaussian(2, 16, 6, 6) + 0.5 * mask[:, None]
    of = maps + 0.1 * gaussian(2, 16, 6, 6, seed=1)
    head = Head(16, 8)

    def likeness() -> float:
        vectors = F.normalize(head(of), dim=1).detach()
        inside, outside = vectors[..., :3].mean((0, 2, 3)), vectors[..., 3:].mean((0, 2, 3))
        return float(F.cosine_similarity(inside, outside, dim=0))

    before = likeness()
    fit(head, Views(maps, of, maps, of, mask), Fitting(num_epochs=60, lr=0.1))
    assert likeness() < before - 0.1


def test_supports_of_one_kind_make_it_everywhere(model: ABCDFSS) -> None:
    assert not model.binarize(segment(model, torch.zeros(64, 64))).any()
    assert model.binarize(segment(model, torch.ones(64, 64))).all()


def test_the_episode_seeds_what_is_drawn_and_the_global_state_stays(model: ABCDFSS) -> None:
    mask = torch.zeros(64, 64)
    mask[:, :40] = 1
    state = torch.get_rng_state()
    first = segment(model, mask, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(first, segment(model, mask, 3))
    assert not torch.equal(first, segment(model, mask, 4))


def test_no_episode_learns_of_another(model: ABCDFSS) -> None:
    mask = torch.zeros(64, 64)
    mask[:, :40] = 1
    before = {name: t.clone() for name, t in model.backbone.network.state_dict().items()}
    first = segment(model, mask, 3)
    segment(model, 1 - mask, 9)
    assert torch.equal(first, segment(model, mask, 3))
    for name, tensor in model.backbone.network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_resnet_is_read_from_its_second_stage_and_others_at_their_layers() -> None:
    model = load_model("abcdfss", {"weights": "random", "size": 40})
    shapes = [tuple(maps.shape[1:]) for maps in model.levels(torch.zeros(1, 3, 40, 40))]
    assert shapes == [(512, 5, 5)] * 4 + [(1024, 3, 3)] * 6 + [(2048, 2, 2)] * 3


@pytest.mark.parametrize("backbone", ["efficientnet-lite0", "resnet50"])
def test_a_backbone_sees_what_it_was_trained_to_see(backbone: str) -> None:
    model = load_model("abcdfss", {"backbone": backbone, "weights": "random", "size": 64})
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    seen: list[Tensor] = []
    first = next(m for m in model.backbone.network.modules() if isinstance(m, torch.nn.Conv2d))
    with first.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0])):
        model.encode_image(images)
        model.backbone.features(images)
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"random": "tiny", "weights": "random"}, "weights or random, not both"),
        ({"random": "tiny", "backbone": "resnet50"}, "backbone or random, not both"),
        ({"random": "tiny", "layer": "block1"}, "layer or random, not both"),
        ({"weights": "random", "layer": "layer3"}, "reads stages 2 to 4 of resnet50"),
        ({"random": "tiny", "size": 32}, "option size: .* greater than or equal to 33"),
    ],
)
def test_what_it_would_not_read_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model("abcdfss", options)


def test_the_least_size_can_be_fitted() -> None:
    model = load_model("abcdfss", {"weights": "random", "size": 33, "num_epochs": 1})
    images = torch.rand((2, 3, 33, 33), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(33, 33)
    mask[:16] = 1
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], mask[None], features[1:])
    assert model.segment(features[:1], [supports], seeds=[0]).isfinite().all()
