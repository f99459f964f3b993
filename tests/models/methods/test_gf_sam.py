"""GF-SAM against the authors' procedure, spelled out with loops, and its steps by hand."""

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.dino_sam import stand_in
from models.methods.gf_sam import GFSAM
from models.methods.gf_sam.alignment import aligned, merged
from models.methods.gf_sam.graph import clusters, consistent
from models.methods.gf_sam.point_masks import PointMasks
from models.methods.gf_sam.priors import Priors, averaged, directions, point_map, points, prior
from models.methods.sam import Sam

SIZE, SIDE = 64, 8


@pytest.fixture(scope="module")
def gf_sam() -> GFSAM:
    parsed: Any = parse_options("gf-sam", GFSAM, {"random": "tiny"})
    return GFSAM.load(parsed, device="cpu", dtype="fp32")


def episode(seed: int) -> tuple[Tensor, Tensor]:
    """Four images of smooth colours with noise, and masks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 3, 4, 4, generator=generator)
    images = F.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    images = (images + 0.3 * torch.rand(images.shape, generator=generator)) / 1.3
    masks = torch.zeros(4, SIZE, SIZE)
    masks[1, 10:40, 8:50] = 1
    masks[2, 30:, :34] = 1
    masks[3, 3:50, 32:] = 1
    return images, masks


# The authors' procedure, slowly


def authors_prior(
    query: Tensor, supports: Sequence[Tensor], masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """`generate_prior`: the greatest and the mean cosine, each SIDE×SIDE."""
    best, mean = [], []
    for support, mask in zip(supports, masks, strict=True):
        weight = F.interpolate(mask[None, None], (SIDE, SIDE), mode="bilinear", align_corners=True)
        weight = weight.flatten().double()
        similarity = torch.zeros(len(support), len(query), dtype=torch.double)
        for i, row in enumerate(support):
            for j, other in enumerate(query):
                similarity[i, j] = row @ other / (row.norm() * other.norm()) * weight[i]
        best.append(similarity.max(0)[0])
        mean.append(similarity.mean(0) / (weight.sum() / len(support) + 1e-7))
    return (
        torch.stack(best).mean(0).view(SIDE, SIDE),
        torch.stack(mean).mean(0).view(SIDE, SIDE),
    )


def scaled(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min() + 1e-6)


def small(mask: Tensor) -> Tensor:
    size = (SIDE, SIDE)
    return F.interpolate(mask[None, None].double(), size, mode="bilinear")[0, 0]


def authors_clusters(masks: Tensor, pixels: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Weakly connected components by flooding, ordered by their first point."""
    left, groups = set(range(len(pixels))), []
    while left:
        group, border = set(), [min(left)]
        while border:
            i = border.pop()
            group.add(i)
            for j in left - group - set(border):
                (x, y), (u, v) = pixels[i], pixels[j]
                if masks[i, v, u] or masks[j, y, x]:
                    border.append(j)
        left -= group
        groups.append(sorted(group))
    return groups


def authors_mask(model: GFSAM, images: Tensor, masks: Tensor) -> tuple[Tensor, int]:
    """`predict` for the first image with the others as references; also how many points."""
    features = model.encode_image(images)
    tokens = [F.normalize(f["patches"].flatten(1).T.double(), dim=0) for f in features]
    query, supports, masks = tokens[0], tokens[1:], masks[1:]
    if masks.sum() == 0:
        masks = stand_in(SIZE).expand_as(masks)
    _, negative = authors_prior(query, supports, list(1 - masks))
    best, mean = authors_prior(query, supports, list(masks))
    half = (mean.max() + mean.min()) / 2
    cross = scaled(mean * best)
    hot = cross * ~(scaled(negative) > cross)
    count = min(int(hot.sum()), 128)
    if count == 0 and hot.sum() > 0:
        count = 1
    chosen = sorted(hot.flatten().topk(count)[1].tolist(), key=lambda i: (i % SIDE, i // SIDE))
    if not chosen:
        return torch.zeros(SIZE, SIZE, dtype=torch.bool), 0
    places = [(i % SIDE, i // SIDE) for i in chosen]
    pixels = [(int(x * SIZE / SIDE), int(y * SIZE / SIDE)) for x, y in places]
    found = []
    for pixel in pixels:
        prompt = model.sam.prompt(torch.tensor([[pixel]]).float(), torch.tensor([[1]]))
        logits, _ = model.sam.decode(features[0]["embedding"], *prompt)
        found.append(F.interpolate(logits[:, :1], (SIZE, SIZE), mode="bilinear")[0, 0] > 0)
    sam_masks = torch.stack(found)
    groups = authors_clusters(sam_masks, pixels)

    positive, negative = mean * mean, negative * half
    region = (positive > negative).float()
    taken, scores = [False] * len(pixels), [0.0] * len(pixels)
    for group in groups:
        order = sorted(
            group,
            key=lambda i: (
                -float(
                    (small(sam_masks[i]) * (positive - negative)).sum()
                    / (small(sam_masks[i]).sum() + 1e-6)
                )
            ),
        )
        inner = torch.zeros(SIDE, SIDE)  # in float32, as what rounding leaves decides here
        for i in order:
            mask = sam_masks[i][None, None].float()
            current = F.interpolate(mask, (SIDE, SIDE), mode="bilinear")[0, 0] * (1 - inner)
            inside, outside = (region * current).sum(), ((1 - region) * current).sum()
            score = float(inside - outside)
            if inside > outside:
                inner += current
                taken[i] = True
        for i in group:
            scores[i] = score

    similarity = torch.zeros(len(groups), len(pixels), dtype=torch.double)
    for k, group in enumerate(groups):
        union = small(sam_masks[group].any(0))
        weight = union.flatten()
        cosines = F.normalize(query, dim=1) @ F.normalize(query, dim=1).T
        own = (cosines * weight[:, None]).mean(0) / (weight.sum() / SIDE**2 + 1e-7)
        for i, (x, y) in enumerate(places):
            away = min(np.hypot(x - places[j][0], y - places[j][1]) for j in group)
            similarity[k, i] = own.view(SIDE, SIDE)[y, x] / (away or 1)
    belongs = [False] * len(pixels)
    for k, group in enumerate(groups):
        votes = [int(similarity[:, i].argmax()) == k for i in group]
        for i, vote in zip(group, votes, strict=True):
            belongs[i] = vote and sum(votes) >= len(group) - sum(votes)

    both = [i for i in range(len(pixels)) if taken[i] and belongs[i]]
    union = sam_masks[both].any(0)
    if not union.any():
        waiting = [s if taken[i] != belongs[i] else 0.0 for i, s in enumerate(scores)]
        union = sam_masks[waiting.index(max(waiting))]
    return union, len(pixels)


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_masks_are_those_of_the_authors(gf_sam: GFSAM, shots: int, seed: int) -> None:
    images, masks = (part[: 1 + shots] for part in episode(seed))
    expected, count = authors_mask(gf_sam, images, masks)
    scores = scores_of(gf_sam, images, masks)
    assert torch.equal(gf_sam.binarize(scores), expected)
    assert count > 2 and 0 < expected.sum() < expected.numel()


def scores_of(model: GFSAM, images: Tensor, masks: Tensor) -> Tensor:
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], masks[1:], features[1:])
    return model.segment(features[:1], [supports])[0]


def test_empty_masks_give_way_to_a_square_in_the_middle(gf_sam: GFSAM) -> None:
    images, masks = episode(0)
    masks[1:] = 0
    expected, _ = authors_mask(gf_sam, images, masks)
    assert torch.equal(gf_sam.binarize(scores_of(gf_sam, images, masks)), expected)
    masks[1] = masks[2] = masks[3] = stand_in(SIZE)
    assert torch.equal(gf_sam.binarize(scores_of(gf_sam, images, masks)), expected)


def test_a_full_mask_leaves_no_background(gf_sam: GFSAM) -> None:
    images, masks = episode(1)
    masks[1:] = 1
    expected, _ = authors_mask(gf_sam, images, masks)
    assert torch.equal(gf_sam.binarize(scores_of(gf_sam, images, masks)), expected)


def test_directions_even_out_the_channels() -> None:
    patches = torch.randn(5, 2, 3)
    scale = torch.tensor([1.0, 10, 100, 0.1, 3])[:, None, None]
    rows = directions(patches)
    assert torch.allclose(rows.norm(dim=1), torch.ones(6))
    assert torch.allclose(directions(patches * scale), rows, atol=1e-6)


def test_priors_weigh_support_patches_by_their_mask() -> None:
    cosines = torch.tensor([[0.8, 0.2], [0.4, -0.6], [0.9, 0.9]])
    found = prior(cosines, torch.tensor([1.0, 0.5, 0.0]))
    assert torch.allclose(found.mean, torch.tensor([1.0, -0.1]) / 1.5)
    assert torch.allclose(found.best, torch.tensor([0.8, 0.2]))
    nothing = prior(cosines, torch.zeros(3))
    assert not nothing.mean.any() and not nothing.best.any()
    assert torch.allclose(averaged([found, nothing]).best, torch.tensor([0.4, 0.1]))


def test_points_are_as_many_as_the_map_sums_to() -> None:
    values = torch.tensor([0.9, 0.1, 0.8, 0.7])
    assert points(values, 2).tolist() == [[0, 0], [0, 1]]  # 2.5: two of them
    assert points(values / 10, 2).tolist() == [[0, 0]]  # 0.25: one all the same
    assert points(torch.zeros(4), 2).tolist() == []
    assert len(points(torch.ones(400), 20)) == 128
    foreground = Priors(torch.tensor([0.0, 0.5, 1.0]), torch.ones(3))
    background = Priors(torch.tensor([0.0, 1.0, 0.8]), torch.ones(3))
    assert torch.allclose(point_map(foreground, background), torch.tensor([0, 0, 1.0]), atol=1e-5)


def test_one_direction_is_enough_to_join_points() -> None:
    covers = torch.eye(4, dtype=torch.bool)
    covers[0, 2] = covers[3, 2] = True
    assert clusters(covers).tolist() == [0, 1, 0, 0]


def test_masks_are_taken_while_they_bring_more_foreground() -> None:
    gain = torch.tensor([3.0, 2.0, 1.0, -1.0, -1.0, -9.0])
    masks = torch.tensor(
        [
            [1.0, 1, 1, 1, 0, 0],  # covers the foreground
            [1.0, 1, 0, 0, 0, 0],  # the best, first
            [1.0, 1, 1, 1, 1, 0],  # brings nothing but background after the others
            [0.0, 0, 0, 0, 0, 1],  # a cluster of its own, background
        ]
    )
    taken, scores = aligned(masks, torch.tensor([0, 0, 0, 1]), gain)
    # The second brings one of each, which is not more.
    assert taken.tolist() == [False, True, False, False]
    assert scores.tolist() == [-1.0, -1.0, -1.0, -1.0]
    kept = [0, 1, 2, 4, 5]
    taken, _ = aligned(masks[:, kept], torch.tensor([0, 0, 0, 1]), gain[kept])
    assert taken.tolist() == [True, True, False, False]
    taken, _ = aligned(masks[:, :3], torch.zeros(4, dtype=torch.long), gain[:3])
    assert taken.tolist() == [True, True, False, False]


def test_what_rounding_leaves_of_a_repeated_mask_counts() -> None:
    soft = torch.tensor([0.3, 0.7, 1.0])
    left = soft * (1 - soft) * (1 - (soft + soft * (1 - soft)))
    masks = torch.stack([soft, soft, 1e-7 * soft])
    assert left.sum() > 0
    taken, _ = aligned(masks, torch.zeros(3, dtype=torch.long), torch.ones(3))
    assert taken.tolist() == [True, True, True]


def test_points_far_from_a_cluster_are_not_for_it() -> None:
    places = torch.tensor([[0, 0], [0, 1], [5, 5], [0, 2]])
    labels = torch.tensor([0, 0, 1, 1])
    resemblance = torch.tensor([[0.5, 0.5, 0.9, 0.5], [0.6, 0.4, 0.3, 0.4]])
    # Point 0 is at a distance of 2 from cluster 1; point 2 of 6.4 from cluster 0; point 3 at 1.
    assert consistent(places, labels, resemblance).tolist() == [True, True, True, False]
    resemblance[0] = 9
    assert consistent(places, labels, resemblance).tolist() == [True, True, False, False]


def test_without_agreement_the_best_of_the_undecided_stands() -> None:
    masks = torch.eye(4, dtype=torch.bool)[:, None]
    yes, no = [
        torch.tensor(row) for row in ([True, True, False, False], [False, True, True, False])
    ]
    scores = torch.tensor([1.0, 5.0, 2.0, 7.0])
    assert merged(masks, yes, no, scores)[0].tolist() == [False, True, False, False]
    masks[1] = False
    assert merged(masks, yes, no, scores)[0].tolist() == [False, False, True, False]


def test_keeps_the_contract(gf_sam: GFSAM) -> None:
    findings = check_segmenter(gf_sam)
    assert [(f.check, f.detail) for f in findings if not f.passed] == []


def test_weights_must_be_named_and_not_beside_random() -> None:
    with pytest.raises(ModelError, match=r"gf-sam has no SAM.*sam=PATH"):
        load_model("gf-sam")
    for option, value in (("sam", "x"), ("weights", "x"), ("backbone", "dinov2-small")):
        with pytest.raises(ModelError, match=f"{option} or random, not both"):
            load_model("gf-sam", {"random": "tiny", option: value})
    model = load_model("gf-sam", {"random": "tiny"})
    assert not model.comparable and model.card.sees_test_classes == {"*": "no"}


class Counted:
    """How many prompts SAM decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prompts = 0
        decode = Sam.decode

        def counted(sam: Sam, embedding: Tensor, sparse: Tensor, *rest: Any, **which: slice) -> Any:
            self.prompts += len(sparse)
            return decode(sam, embedding, sparse, *rest, **which)

        monkeypatch.setattr(Sam, "decode", counted)


def test_a_point_is_decoded_once_an_image(gf_sam: GFSAM, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    images, masks = episode(3)
    features = gf_sam.encode_image(images)
    supports = gf_sam.encode_support(images[1:], masks[1:], features[1:])
    first = gf_sam.segment(features[:1], [supports])
    once = counted.prompts
    assert once > 2
    assert torch.equal(gf_sam.segment(features[:1], [supports]), first)
    assert counted.prompts == once
    gf_sam.segment(features[1:2], [supports])  # another image
    assert counted.prompts > once


def test_a_mask_does_not_depend_on_what_was_asked_before(gf_sam: GFSAM) -> None:
    (query,) = gf_sam.encode_image(episode(4)[0][:1])
    view = gf_sam.networks.view(query)
    points = torch.cartesian_prod(torch.arange(0, SIZE, 16), torch.arange(0, SIZE, 16))[:15]

    def masks(asked: Tensor, embedding: Tensor) -> Tensor:
        return gf_sam.point_masks.of(embedding, view, asked)

    expected = masks(points, query["embedding"].clone())
    assert 0 < expected.sum() < expected.numel()
    embedding = query["embedding"]
    masks(points[3:4], embedding)
    masks(points[[9, 0, 4]], embedding)
    assert torch.equal(masks(points.flip(0), embedding), expected.flip(0))


def test_masks_are_kept_as_long_as_the_embedding(gf_sam: GFSAM) -> None:
    (query,) = gf_sam.encode_image(episode(5)[0][:1])
    kept = PointMasks(gf_sam.sam)
    kept.of(query["embedding"], gf_sam.networks.view(query), torch.tensor([[8, 8]]))
    assert len(kept._kept) == 1
    del query
    gc.collect()
    assert len(kept._kept) == 0


def test_the_masks_of_the_image_asked_for_longest_ago_make_room(gf_sam: GFSAM) -> None:
    queries = gf_sam.encode_image(episode(6)[0])
    view, point = gf_sam.networks.view(queries[0]), torch.tensor([[8, 8]])
    first, second, third, _ = (query["embedding"] for query in queries)
    unbounded = PointMasks(gf_sam.sam)
    masks = [unbounded.of(embedding, view, point) for embedding in (first, second, third)]
    kept = PointMasks(gf_sam.sam, budget=unbounded._bytes - 1)
    for index, embedding in ((0, first), (1, second), (0, first), (2, third)):
        assert torch.equal(kept.of(embedding, view, point), masks[index])
    assert [any(own is one for own in kept._kept) for one in (first, second, third)] == [1, 0, 1]
    none = PointMasks(gf_sam.sam, budget=0)
    assert torch.equal(none.of(first, view, point), masks[0]) and not none._bytes
