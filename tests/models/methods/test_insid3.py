"""INSID3 against the authors' procedure, spelled out patch by patch in double precision."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.geometry import Squash
from models.methods.insid3 import INSID3
from models.methods.insid3.candidates import backward_candidates, coarse_mask, forward_candidates
from models.methods.insid3.clusters import aggregated, clusters
from models.methods.insid3.debias import components, debiased, positional_basis


@pytest.fixture(scope="module")
def insid3() -> INSID3:
    return load()


def load(**options: Any) -> INSID3:
    parsed: Any = parse_options("insid3", INSID3, {"random": "tiny", **options})
    return INSID3.load(parsed, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def positional() -> INSID3:
    """A network whose attention is sharp, so that position changes features beyond rounding."""
    model = load()
    for name, weight in model.backbone.network.named_parameters():
        if "q_proj" in name or "k_proj" in name or "v_proj" in name or "mlp" in name:
            weight.mul_(12)
    return model


def episode() -> tuple[Tensor, Tensor]:
    """A query and three supports of smooth colours with noise, and masks."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(4, 3, 3, 3, generator=generator)
    images = F.interpolate(coarse, (128, 128), mode="bilinear")
    images = (images + 0.3 * torch.rand(images.shape, generator=generator)) / 1.3
    masks = torch.zeros(4, 128, 128)
    masks[1, 20:70, 16:90] = 1
    masks[2, 60:, :70] = 1
    masks[3, 5:100, 64:] = 1
    return images, masks


# The authors' procedure, slowly


def authors_clusters(rows: Tensor, tau: float) -> list[set[int]]:
    """Merge the two clusters with the least mean distance until none is below the threshold."""
    distance = (1 - rows @ rows.T).numpy()
    groups = [{index} for index in range(len(rows))]

    def mean(a: set[int], b: set[int]) -> float:
        return float(np.mean([distance[i, j] for i in a for j in b]))

    while len(groups) > 1:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        i, j = min(pairs, key=lambda pair: mean(groups[pair[0]], groups[pair[1]]))
        if mean(groups[i], groups[j]) >= 1 - tau:
            break
        groups[j] |= groups.pop(i)
    return groups


def authors_mask(model: INSID3, maps: Tensor, masks: Tensor) -> Tensor:
    """`predict_mask` for the first of the maps, with the others as references: h×w bool."""
    black = model.backbone.features(torch.zeros(1, 3, 128, 128))[0].double()
    noise = F.normalize(black, dim=0).flatten(1)
    noise = noise - noise.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(noise @ noise.T)
    basis = vectors[:, values.argsort(descending=True)[: model.components]]
    unit = F.normalize(maps.double(), dim=1)
    flat = unit.flatten(2).mT
    clean = F.normalize(flat @ (torch.eye(flat.shape[2]) - basis @ basis.T), dim=2)
    h, w = maps.shape[-2:]
    small = F.interpolate(masks[1:, None], (h, w), mode="bilinear")[:, 0].flatten(1) > 0.5
    assert small.any(1).all()  # the rescue of small masks has a test of its own
    means = [clean[1 + s][small[s]].mean(0) for s in range(len(small))]
    prototype = F.normalize(torch.stack(means).mean(0), dim=0)
    candidate = []
    for row in clean[0]:
        votes = sum(bool(small[s][int((clean[1 + s] @ row).argmax())]) for s in range(len(small)))
        candidate.append(float(row @ prototype) > 0 and votes >= math.ceil(len(small) / 2))
    assert any(candidate)
    groups = [sorted(group) for group in authors_clusters(flat[0], model.tau)]
    own = [F.normalize(flat[0][group].mean(0), dim=0) for group in groups]
    cross = [F.normalize(clean[0][group].mean(0), dim=0) @ prototype for group in groups]
    seeds = [k for k, group in enumerate(groups) if any(candidate[i] for i in group)]
    seed = max(seeds, key=lambda k: float(cross[k]))
    result = torch.zeros(h * w, dtype=torch.bool)
    for k, group in enumerate(groups):
        share = 1.0 if k == seed else sum(candidate[i] for i in group) / len(group)
        score = float((clean[0][group] @ prototype).mean() * (own[seed] @ own[k])) * share
        result[group] = score > model.merge
    return result.view(h, w)


@pytest.mark.parametrize("shots", [1, 2, 3])
@pytest.mark.parametrize(("tau", "merge"), [(0.6, 0.2), (0.9, 0.05), (0.97, 0.1)])
def test_masks_are_those_of_the_authors(
    positional: INSID3, shots: int, tau: float, merge: float
) -> None:
    model = INSID3(positional.backbone, Squash(128), "fp32", tau, merge)
    images, masks = (part[: 1 + shots] for part in episode())
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], masks[1:], features[1:])
    scores = model.segment(features[:1], [supports])
    maps = torch.stack([feature["patches"] for feature in features])
    expected = authors_mask(model, maps, masks)
    assert torch.equal(model.binarize(scores)[0], expected)
    assert 0 < expected.sum() < expected.numel()


def test_supports_without_foreground_have_no_vote(insid3: INSID3) -> None:
    images, masks = episode()
    features = insid3.encode_image(images)
    masks[2:] = 0
    supports = insid3.encode_support(images[1:], masks[1:], features[1:])
    alone = insid3.segment(features[:1], [supports[:1]])
    assert torch.equal(insid3.segment(features[:1], [supports]), alone)
    assert not insid3.binarize(insid3.segment(features[:1], [supports[1:]])).any()


def test_positional_directions_are_in_proportion_to_the_width(insid3: INSID3) -> None:
    assert [components(width) for width in (1024, 768, 384)] == [500, 375, 188]
    assert insid3.components == 16 and insid3.config["components"] == 16
    told = load_model("insid3", {"random": "tiny", "svd_components": 9})
    assert told.components == 9
    assert told._basis(torch.zeros(32, 4, 4)).shape == (32, 9)


def test_a_shift_that_depends_on_position_alone_is_removed() -> None:
    generator = torch.Generator().manual_seed(0)
    position = torch.zeros(16, 6, 6)
    position[0] = torch.arange(6.0)  # two directions, rows and columns
    position[1] = torch.arange(6.0)[:, None]
    position[2] = 5  # what is constant is no position
    basis = positional_basis(position, 2)
    assert torch.allclose(basis.T @ basis, torch.eye(2), atol=1e-5)
    content = torch.randn(9, 16, generator=generator)
    shift = torch.randn(9, 2, generator=generator) @ basis.T
    rows = debiased(content, basis)
    assert torch.allclose(debiased(content + shift, basis), rows, atol=1e-5)
    assert torch.allclose(rows @ basis, torch.zeros(9, 2), atol=1e-6)
    assert torch.allclose(rows.norm(dim=1), torch.ones(9))


def test_average_linkage_merges_up_to_the_threshold() -> None:
    angles = torch.tensor([0.0, 10.0, 24.0, 90.0, 95.0]).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    # 24° is 0.03 from 10° and 0.086 from 0°, on average 0.058 from their pair.
    for tau, expected in (
        (0.95, [0, 0, 1, 2, 2]),
        (0.93, [0, 0, 0, 1, 1]),
        (0.999, [0, 1, 2, 3, 4]),
    ):
        labels = clusters(rows, tau).tolist()
        assert (
            len(set(zip(labels, expected, strict=True))) == len(set(expected)) == len(set(labels))
        )


def test_small_masks_keep_a_patch() -> None:
    mask = torch.zeros(64, 64)
    assert not coarse_mask(mask, torch.Size((4, 4))).any()
    mask[33, 20] = 1  # between the samples of both filters
    assert coarse_mask(mask, torch.Size((4, 4))).nonzero().tolist() == [[2, 1]]
    mask[32, 16] = 1  # where the nearest filter reads the patch
    mask[63, 63] = 1
    assert coarse_mask(mask, torch.Size((4, 4))).nonzero().tolist() == [[2, 1]]


def test_forward_candidates_fall_back_to_the_best_tenth() -> None:
    assert forward_candidates(torch.tensor([-0.1, 0.2, 0.0])).tolist() == [False, True, False]
    assert forward_candidates(-torch.arange(1.0, 21)).nonzero().flatten().tolist() == [0, 1]


def test_half_of_the_supports_are_enough_votes() -> None:
    query = torch.eye(3)
    references = [torch.eye(3)] * 3
    marks = [torch.tensor(row) for row in ([True] * 3, [True, True, False], [True, False, False])]
    assert backward_candidates(query, references, marks).tolist() == [True, True, False]
    assert backward_candidates(query, references[:2], marks[1:]).tolist() == [True, True, False]


def test_a_cluster_counts_by_its_share_of_candidates() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    rows = torch.tensor([[1.0, 0.0]] * 6)
    candidates = torch.tensor([True, True, True, False, False, False])
    chosen = [
        aggregated(labels, candidates, rows[0], rows, rows, threshold).tolist()
        for threshold in (0.24, 0.26)
    ]
    assert chosen == [[True] * 6, [True, True, False, False, False, False]]


def test_keeps_the_contract(insid3: INSID3) -> None:
    findings = check_segmenter(insid3)
    assert [(f.check, f.detail) for f in findings if not f.passed] == []


def test_random_weights_beside_given_ones_are_refused() -> None:
    with pytest.raises(ModelError, match="weights or random, not both"):
        load(weights="somewhere")
    with pytest.raises(ModelError, match="backbone or random, not both"):
        load(backbone="dinov3-small")
    assert not load_model("insid3", {"random": "tiny"}).comparable
