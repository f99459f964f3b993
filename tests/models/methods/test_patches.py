"""Prototypes and dense nearest neighbours against slow transcriptions of their definitions."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.catalog import load_model
from models.geometry import Native, Squash
from models.methods.dense_nn import DenseNN, foreground_patches
from models.methods.prototype import Prototype, stretch_adjoint
from models.segmenter import Features

H, W, STRIDE, CHANNELS = 5, 7, 4, 6

# Both models take features as they come, so that no network is needed to test what they do.
BACKBONE = SimpleNamespace(
    key="k",
    digest="d",
    parameters=1,
    random=True,
    name="n",
    layer="l",
    weights="w",
    licence="",
    training_data="",
)
MODELS = {cls: cls(BACKBONE, Native(STRIDE), "fp32") for cls in (Prototype, DenseNN)}


def feature(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features({"patches": torch.randn(CHANNELS, H, W, generator=generator)})


def mask(seed: int, share: float = 0.4) -> Tensor:
    coarse = torch.rand(H, W, generator=torch.Generator().manual_seed(seed)) < share
    return F.interpolate(coarse[None, None].float(), scale_factor=STRIDE)[0, 0].roll(1, 0)


def run(cls: type, query: int, shots: list[tuple[Features, Tensor]]) -> Tensor:
    model = MODELS[cls]
    supports = [model.encode_support(torch.zeros(()), m[None], [f])[0] for f, m in shots]
    return model.segment([feature(query)], [supports])[0]


def panet(query: Features, shots: list[tuple[Features, Tensor]]) -> Tensor:
    """PANet's getFeatures, getPrototype and calDist, line by line."""
    foreground, background = [], []
    for features, m in shots:
        fts = F.interpolate(features["patches"][None], size=m.shape, mode="bilinear")
        for kind, part in ((foreground, m), (background, 1 - m)):
            kind.append((fts * part[None]).sum(dim=(2, 3)) / (part.sum() + 1e-5))
    distances = [
        20 * F.cosine_similarity(query["patches"][None], (sum(k) / len(k))[..., None, None], dim=1)
        for k in (foreground, background)
    ]
    return (distances[0] - distances[1])[0]


def nearest(query: Features, shots: list[tuple[Features, Tensor]]) -> Tensor:
    """Patch by patch."""
    kinds: dict[bool, list[Tensor]] = {True: [], False: []}
    for features, m in shots:
        share = m.view(H, STRIDE, W, STRIDE).mean((1, 3))
        chosen = {(y, x) for y in range(H) for x in range(W) if share[y, x] > 0.5}
        if not chosen and share.max() > 0:
            chosen = {divmod(int(share.argmax()), W)}
        for y in range(H):
            for x in range(W):
                kinds[(y, x) in chosen].append(features["patches"][:, y, x])
    scores = torch.empty(H, W)
    for y in range(H):
        for x in range(W):
            best = [
                max(float(F.cosine_similarity(query["patches"][:, y, x], p, dim=0)) for p in k)
                if k
                else -1.0
                for k in (kinds[True], kinds[False])
            ]
            scores[y, x] = best[0] - best[1]
    return scores


TRANSCRIPTIONS = {Prototype: panet, DenseNN: nearest}
both = pytest.mark.parametrize("cls", [Prototype, DenseNN])


@both
@pytest.mark.parametrize("shots", [1, 2, 5])
def test_scores_equal_the_transcription(cls: type, shots: int):
    supports = [(feature(10 + k), mask(k)) for k in range(shots)]
    expected = TRANSCRIPTIONS[cls](feature(1), supports)
    assert torch.allclose(run(cls, 1, supports), expected, atol=1e-5)


@both
@pytest.mark.parametrize("kind", ["empty", "full", "pixel"])
def test_extreme_masks_equal_the_transcription(cls: type, kind: str):
    extreme = torch.full((H * STRIDE, W * STRIDE), float(kind == "full"))
    if kind == "pixel":
        extreme[9, 13] = 1
    for supports in ([(feature(2), extreme)], [(feature(2), extreme), (feature(3), mask(3))]):
        expected = TRANSCRIPTIONS[cls](feature(1), supports)
        assert torch.allclose(run(cls, 1, supports), expected, atol=1e-5)


@both
def test_a_class_is_as_likely_there_as_in_its_likeliest_patch(cls: type):
    supports = [(feature(10 + k), mask(k)) for k in range(2)]
    model = MODELS[cls]
    shots = [model.encode_support(torch.zeros(()), m[None], [f])[0] for f, m in supports]
    queries, rows = [feature(q) for q in range(3)], [shots, shots[:1], shots[1:]]
    found = model.presence(queries, rows, model.segment(queries, rows))
    used = [supports, supports[:1], supports[1:]]
    expected = [
        max(TRANSCRIPTIONS[cls](query, own).flatten().tolist())
        for query, own in zip(queries, used, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_dense_nn_of_nothing_is_nothing_and_of_everything_everything():
    empty = torch.zeros(H * STRIDE, W * STRIDE)
    assert (run(DenseNN, 1, [(feature(2), empty)]) < 0).all()
    assert (run(DenseNN, 1, [(feature(2), 1 - empty)]) > 0).all()


@both
@given(seed=st.integers(0, 1000), shots=st.integers(2, 6))
def test_the_same_support_again_changes_nothing(cls: type, seed: int, shots: int):
    support = (feature(seed), mask(seed))
    once, often = run(cls, seed + 1, [support]), run(cls, seed + 1, [support] * shots)
    assert torch.allclose(once, often, atol=1e-5)


@both
def test_the_order_of_supports_does_not_matter(cls: type):
    supports = [(feature(10 + k), mask(k)) for k in range(3)]
    assert torch.allclose(run(cls, 1, supports), run(cls, 1, supports[::-1]), atol=1e-5)


@both
def test_one_call_takes_different_numbers_of_supports(cls: type):
    model = MODELS[cls]
    encoded = model.encode_support(
        torch.zeros(()),
        torch.stack([mask(k) for k in range(3)]),
        [feature(10 + k) for k in range(3)],
    )
    rows = [encoded[:1], encoded, encoded[1:]]
    together = model.segment([feature(q) for q in range(3)], rows)
    assert together.shape == (3, H, W)
    for query, row in enumerate(rows):
        alone = model.segment([feature(query)], [row])[0]
        assert torch.allclose(together[query], alone, atol=1e-5)


@both
def test_an_image_finds_its_own_mask(cls: type):
    """Two flat regions: querying with the support itself gives the mask back."""
    patches = torch.zeros(CHANNELS, H, W)
    patches[0, :, :3] = 1
    patches[1, :, 3:] = 1
    m = torch.zeros(H * STRIDE, W * STRIDE)
    m[:, : 3 * STRIDE] = 1
    model = MODELS[cls]
    features = Features({"patches": patches})
    supports = model.encode_support(torch.zeros(()), m[None], [features])
    scores = model.segment([features], [supports])
    assert torch.equal(model.geometry.scores(scores, m.shape, m.shape)[0] > 0, m.bool())


def test_prototype_scores_do_not_depend_on_the_features_scale():
    supports = [(feature(2), mask(2))]
    model = MODELS[Prototype]
    encoded = model.encode_support(torch.zeros(()), mask(2)[None], [feature(2)])
    louder = Features({"patches": feature(1)["patches"] * 7})
    assert torch.allclose(model.segment([louder], [encoded])[0], run(Prototype, 1, supports))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))
def test_adjoint_weights_sum_like_stretched_features(h: int, w: int, height: int, width: int):
    generator = torch.Generator().manual_seed(h + 7 * w + 49 * height)
    features = torch.randn(3, h, w, generator=generator, dtype=torch.float32)
    m = torch.rand(height, width, generator=generator)
    stretched = F.interpolate(features[None], size=(height, width), mode="bilinear")[0]
    expected = (stretched * m).sum((1, 2))
    got = (features * stretch_adjoint(m, torch.Size((h, w)))).sum((1, 2))
    assert torch.allclose(got, expected, atol=1e-4 * math.sqrt(height * width))


def test_half_covered_patches_are_background():
    m = torch.zeros(4, 8)
    m[:2, :4] = 1
    m[:3, 4:] = 1
    assert foreground_patches(m, torch.Size((1, 2))).tolist() == [False, True]
    m[:, 4:] = 0
    assert foreground_patches(m, torch.Size((1, 2))).tolist() == [True, False]


# Over a real network, with random weights


def test_both_models_share_image_features():
    options = {"weights": "random", "layer": "block4", "size": 64}
    one, two = load_model("prototype", options), load_model("dense-nn", options)
    assert one.image_key == two.image_key and one.geometry == two.geometry == Squash(64)
    image = torch.rand(1, 3, 64, 64)
    ours, theirs = one.encode_image(image)[0], two.encode_image(image)[0]
    assert torch.equal(ours["patches"], theirs["patches"])
    assert ours.nbytes == 40 * 8 * 8 * 4


def test_what_changes_the_features_changes_the_key():
    base = {"weights": "random", "layer": "block4"}
    keys = {
        load_model("prototype", base).image_key,
        load_model("prototype", {**base, "layer": "block10"}).image_key,
        load_model("prototype", base, dtype="bf16").image_key,
    }
    assert len(keys) == 3


def test_results_are_told_what_ran():
    model = load_model("dense-nn", {"weights": "random", "size": 100})
    assert model.config == {
        "backbone": "efficientnet-lite0",
        "layer": "block10+block15",
        "weights": "random",
        "size": 128,
    }
    assert model.parameters == 4_652_008
    assert len(model.weights_digest) == 64
    assert not model.comparable
    assert model.card.licence == "Apache-2.0"


def test_native_size_keeps_the_aspect():
    model = load_model("prototype", {"weights": "random", "size": "native"})
    assert model.geometry.grid((90, 130)) == (96, 128)


def test_half_precision_takes_patches_of_nothing() -> None:
    model = load_model(
        "dense-nn", {"weights": "random", "layer": "block4", "size": 32}, dtype="fp16"
    )
    patches = torch.rand(4, 2, 2, generator=torch.Generator().manual_seed(0)).half()
    patches[:, 0, 0] = 0
    features, mask = [Features({"patches": patches})], torch.eye(2)[None]
    supports = model.encode_support(torch.zeros(1, 3, 2, 2), mask, features)
    assert model.segment(features, [supports]).isfinite().all()


def test_half_precision_features_give_float_scores():
    options = {"weights": "random", "layer": "block4", "size": 32}
    image, m = torch.rand(1, 3, 32, 32), torch.zeros(1, 32, 32)
    m[:, 8:20, 4:30] = 1
    for name in ("prototype", "dense-nn"):
        scores = {}
        for dtype in ("fp32", "bf16"):
            model = load_model(name, options, dtype=dtype)
            features = model.encode_image(image)
            scores[dtype] = model.segment(features, [model.encode_support(image, m, features)])
        assert scores["bf16"].dtype == torch.float32
        spread = float(scores["fp32"].max() - scores["fp32"].min())
        assert float((scores["bf16"] - scores["fp32"]).abs().max()) < 0.1 * spread
