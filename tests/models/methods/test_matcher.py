"""Matcher against the authors' procedure, spelled out, and its steps against brute force."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.dino_sam import stand_in
from models.methods.matcher import PRESETS, Matcher, Settings
from models.methods.matcher.masks import (
    Candidates,
    boxes,
    distinct,
    grid,
    kept,
    prompted,
    restored,
    stabilities,
    suppressed,
)
from models.methods.matcher.prompts import kmeans, prompts
from models.methods.matcher.selection import chosen, coarse, purity_and_coverage
from models.methods.matcher.transport import Distances
from models.methods.sam import Sam
from models.methods.sam.decoder import ALL_MASKS
from models.segmenter import encode_parts
from tests.models.methods.test_matcher_matching import full_emd

SIDE, PATCH, ACROSS = 112, 14, 8
FEW = {
    "coco": replace(PRESETS["coco"], samples=3, grid=3),
    "fss": replace(PRESETS["fss"], samples=3),
    "parts": replace(PRESETS["parts"], samples=3),
}


class Discs:
    """In SAM's place: discs around the mean of a prompt's points, cut off at its box.

    A random SAM's masks touch every patch, so that scores would all be equal.
    """

    size = 64

    def prompt(self, points: Tensor, labels: Tensor, boxes: Tensor | None) -> Any:
        assert labels.shape == points.shape[:2] and labels.eq(1).all()
        return points, boxes

    def decode(
        self, _: Tensor, points: Tensor, boxes: Tensor | None, which: slice = ALL_MASKS
    ) -> Any:
        x, y = (points.mean(1)[:, i, None, None] / 4 for i in (0, 1))
        places = torch.arange(16.0)
        distance = torch.sqrt((places - x) ** 2 + (places[:, None] - y) ** 2)
        radii = points.sum((1, 2))[:, None] % torch.tensor([7.0, 3, 5, 11])
        logits = 20 * (radii[:, :, None, None] - distance[:, None])
        if boxes is not None:
            left, top, right, bottom = (boxes[:, i, None, None, None] / 4 for i in range(4))
            outside = (places < left) | (places > right)
            outside = outside | (places[:, None] < top) | (places[:, None] > bottom)
            logits = logits.masked_fill(outside, -9)
        return logits[:, which], (0.8 + (radii * 0.37) % 0.2)[:, which]


@pytest.fixture(scope="module")
def tiny() -> Matcher:
    return load_model("matcher", {"random": "tiny"})


def with_discs(tiny: Matcher, settings: Settings) -> Matcher:
    model = Matcher(tiny.networks, settings, "test")
    model.sam = Discs()  # type: ignore[assignment]
    return model


def episode(seed: int) -> tuple[Tensor, Tensor]:
    """A query, the same two patches away, two more images, all of smooth colours, and masks."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(4, 3, 4, 4, generator=generator)
    images = F.interpolate(colours, (SIDE, SIDE), mode="bilinear")
    images = (images + 0.3 * torch.rand(images.shape, generator=generator)) / 1.3
    images[0] = images[1].roll((2 * PATCH, PATCH), (1, 2))
    masks = torch.zeros(4, SIDE, SIDE)
    masks[1, 20:70, 15:60] = 1
    masks[2, 60:, :50] = 1
    masks[3, 3:90, 56:] = 1
    return images, masks


# The authors' procedure, slowly


def authors_points(similarity: NDArray[np.float64], inside: NDArray[np.bool_]) -> list[Any]:
    """`patch_level_matching`: the (x, y) of the matched patches."""
    forward = similarity[inside]
    rows, columns = linear_sum_assignment(forward, maximize=True)
    _, back = linear_sum_assignment(similarity.T[columns], maximize=True)
    pairs = list(zip(rows, columns, strict=True))
    retained = [pair for pair, partner in zip(pairs, back, strict=True) if inside[partner]]
    pairs = sorted(retained or pairs, key=lambda pair: -forward[pair])
    if len(pairs) > 40:
        pairs = pairs[: len(pairs) // 2]
    numbers = sorted({int(column) for _, column in pairs})
    return [(n % ACROSS * 14 + 7, n // ACROSS * 14 + 7) for n in numbers]


def authors_masks(
    points: Tensor, box: list[float] | None, multimask: bool, iou: float, stability: float
) -> list[tuple[NDArray[np.bool_], float]]:
    """`_process_batch` and `_process_sel_batch`: masks with SAM's scores."""
    discs, found = Discs(), []
    for prompt in points.float() * (64 / SIDE):
        corners = None if box is None else torch.tensor([box]) * (64 / SIDE)
        logits, scores = discs.decode(torch.empty(0), prompt[None], corners)
        for layer in (1, 2, 3) if multimask else (0,):
            big = F.interpolate(logits[:, layer, None], (64, 64), mode="bilinear")
            big = F.interpolate(big, (SIDE, SIDE), mode="bilinear")[0, 0]
            stable = float((big > 1).sum()) / max(float((big > -1).sum()), 1e-9)
            if (not iou or scores[0, layer] > iou) and (not stability or stable >= stability):
                found.append(((big > 0).numpy(), float(scores[0, layer])))
    return found


def authors_nms(
    found: list[tuple[NDArray[np.bool_], float]], threshold: float
) -> list[NDArray[np.bool_]]:
    kept: list[tuple[NDArray[np.bool_], list[int]]] = []
    for mask, _ in sorted(found, key=lambda pair: -pair[1]):
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max(), rows.max()] if mask.any() else [0] * 4

        def overlap(other: list[int], box: list[int] = box) -> float:
            width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
            height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
            return width * height / max(sum(areas) - width * height, 1e-9)

        if all(overlap(other) <= threshold for _, other in kept):
            kept.append((mask, box))
    return [mask for mask, _ in kept]


def authors_result(
    model: Matcher, images: Tensor, masks: Tensor, seed: int
) -> tuple[NDArray[np.bool_], int]:
    """`predict` for the first image with the others as references; also how many candidates."""
    own, shots = model.settings, len(images) - 1
    maps = [f["patches"].flatten(1).T for f in model.encode_image(images)]
    rows = [F.normalize(rows, dim=1).numpy() for rows in maps]
    if masks[1:].sum() == 0:
        masks = stand_in(SIDE).expand_as(masks)
    inside = (F.avg_pool2d(masks[1:], PATCH).flatten() > 0).numpy()
    similarity = np.concatenate(rows[1:]) @ rows[0].T
    points = authors_points(similarity, inside)
    xs, ys = ([point[i] for point in points] for i in (0, 1))
    box = [min(xs), min(ys), max(xs), max(ys)] if own.box else None
    found = []
    for drawn in prompts(np.array(points), own, seed):
        found += authors_masks(torch.from_numpy(drawn), box, own.multimask, own.iou, own.stability)
    if own.grid:
        steps = [(2 * i + 1) / (2 * own.grid) * SIDE for i in range(own.grid)]
        everywhere = torch.tensor([[[x, y]] for y in steps for x in steps])
        found += authors_masks(everywhere, None, False, 0.88, 0.95)
    candidates = []
    for mask in authors_nms(found, own.nms):
        small = mask.reshape(ACROSS, PATCH, ACROSS, PATCH).mean((1, 3)).ravel()
        patches = small > (0 if small.max() > 0 else -1)
        emd = 1 - full_emd((1 - similarity[inside][:, patches].astype(np.float64)) / 2)
        count = sum(bool(mask[y, x]) for x, y in points)
        purity, coverage = count / patches.sum() + 1e-6, count / len(points) + 1e-6
        candidates.append({"mask": mask, "emd": emd, "purity": purity, "coverage": coverage})
    total = len(candidates)
    for metric, least in (("coverage", own.coverage), ("purity", own.purity)):
        if least > 0:
            bound = min(least, max(c[metric] for c in candidates))
            candidates = [c for c in candidates if c[metric] >= bound]
    for c in candidates:
        c["score"] = own.alpha * c["emd"] + own.beta * c["purity"] * c["coverage"] ** own.exponent
    candidates.sort(key=lambda c: -c["score"])
    best, worst = candidates[0]["score"], candidates[-1]["score"]
    many = own.merged if shots == 1 else 5
    if own.distance is None:
        merged = [c for c in candidates[:many] if c["score"] / best > own.share]
    else:
        merged = [
            c
            for c in candidates
            if (1 - c["score"] < own.distance or c is candidates[0])
            and (best - c["score"]) / (1 - worst + 1e-6) < own.spread
        ][:many]
    return np.any([c["mask"] for c in merged], axis=0), total


def result_of(model: Matcher, images: Tensor, masks: Tensor, seed: int) -> Tensor:
    features = model.encode_image(images)
    supports = model.encode_support(images[1:], masks[1:], features[1:])
    return model.binarize(model.segment(features[:1], [supports], seeds=[seed])[0])


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("preset", ["coco", "fss", "parts"])
def test_masks_are_those_of_the_authors(tiny: Matcher, preset: str, shots: int) -> None:
    model = with_discs(tiny, FEW[preset])
    images, masks = (part[: 1 + shots] for part in episode(shots))
    expected, count = authors_result(model, images, masks, seed=4)
    assert count > 5 and 0 < expected.mean() < 1
    assert np.array_equal(result_of(model, images, masks, 4), expected)


def test_empty_masks_give_way_to_a_square_in_the_middle(tiny: Matcher) -> None:
    model = with_discs(tiny, FEW["fss"])
    images, masks = episode(7)
    masks[1:] = 0
    expected, _ = authors_result(model, images, masks, seed=1)
    assert np.array_equal(result_of(model, images, masks, 1), expected)


def test_sam_sees_eight_bits_as_the_authors_predictor_gives_them(tiny: Matcher) -> None:
    images = episode(3)[0][:1].mul(255).round().div(255)
    values = images[0].mul(255).byte().permute(1, 2, 0).numpy()
    square = np.array(Image.fromarray(values).resize((64, 64), Image.Resampling.BILINEAR))
    seen = torch.from_numpy(square).permute(2, 0, 1).float() / 255
    (expected,), (own,) = tiny.sam.encode_framed(seen[None]), tiny.encode_image(images)
    assert torch.equal(own["embedding"], expected["embedding"])


def test_without_a_mask_the_prediction_is_empty(tiny: Matcher) -> None:
    model = with_discs(tiny, replace(FEW["fss"], iou=2.0))
    assert not result_of(model, *episode(1), seed=0).any()


def test_presets_are_the_scripts() -> None:
    assert {name: preset.merged for name, preset in PRESETS.items()} == {
        "coco": 9,
        "fss": 10,
        "parts": 5,
    }
    assert {preset.for_shots(5).merged for preset in PRESETS.values()} == {5}
    assert load_model("matcher", {"random": "tiny", "preset": "parts"}).config["preset"] == "parts"


def test_prompts_are_subsets_fixed_by_the_seed() -> None:
    points = np.array([(7 * i, i * i) for i in range(12)])
    few = replace(PRESETS["coco"], samples=5)
    drawn = prompts(points, few, 3)
    assert [part.shape for part in drawn] == [(5, n, 2) for n in range(1, 7)]
    known = set(map(tuple, points.tolist()))
    for prompt in drawn[-1].tolist():
        assert len(set(map(tuple, prompt)) & known) == 6
    assert all(map(np.array_equal, drawn, prompts(points, few, 3)))
    assert not all(map(np.array_equal, drawn, prompts(points, few, 4)))
    # Of up to eight points every subset is a prompt; of too few, all together.
    parts = prompts(points[:5], PRESETS["parts"], 0)
    assert [part.shape for part in parts] == [(10, 3, 2), (5, 4, 2), (1, 5, 2)]
    assert [part.shape for part in prompts(points[:2], PRESETS["fss"], 0)] == [(1, 2, 2)]


def test_centres_are_those_of_clear_clusters() -> None:
    places = np.array([(0, 0), (100, 0), (0, 100)])
    points = np.concatenate([places + step for step in ((0, 0), (2, 0), (1, 3))])
    centres = kmeans(points, 3, np.random.default_rng(0))
    assert sorted(centres.tolist()) == sorted((places + 1).tolist())
    assert sorted(kmeans(points, 9, np.random.default_rng(1)).tolist()) == sorted(points.tolist())


def test_candidates_by_hand() -> None:
    masks = torch.zeros(3, 28, 28, dtype=torch.bool)
    masks[0, 3:9, 5:12] = True
    masks[1, 10:20, 20:] = True
    assert boxes(masks).tolist() == [[5, 3, 11, 8], [20, 10, 27, 19], [0, 0, 0, 0]]
    patches = coarse(masks, 14)
    assert patches.tolist() == [[True, False, False, False], [False, True, False, True], [True] * 4]
    points = torch.tensor([[7, 7], [21, 7], [21, 19]])
    purity, coverage = purity_and_coverage(masks, patches, points)
    assert torch.allclose(purity, torch.tensor([1, 0.5, 0]), atol=1e-5)
    assert torch.allclose(coverage, torch.tensor([1, 1, 0]) / 3, atol=1e-5)
    # Stable: what is in the mask at both thresholds, of what is in it at the lower.
    logits = torch.tensor([2.0, 2, 0, -2])[None, None]
    assert stabilities(logits).tolist() == pytest.approx([2 / 3])


def test_duplicates_are_suppressed_by_what_is_kept() -> None:
    tight = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6.4], [20, 0, 30, 10]])
    # The third overlaps the second by 0.8, which is gone, and the first by 0.64.
    assert suppressed(tight, 0.65).tolist() == [False, True, False, False]
    assert not suppressed(tight[[0, 0]], 1.0).any()
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, 1:, 1:] = True
    masks[0, 2, 2] = False
    left = distinct(Candidates(masks, torch.tensor([0.5, 0.9])), 0.65)
    assert left.ious.tolist() == pytest.approx([0.9]) and left.masks[0, 2, 2]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_candidates_that_are_kept_come_back_as_they_were(count: int) -> None:
    masks = torch.zeros(count, 28, 28, dtype=torch.bool)
    masks[:, 3:20, 5:] = True
    masks[::3, torch.arange(28), torch.arange(28)] = True
    found = Candidates(masks, torch.rand(count))
    tensors = kept(found)
    assert tensors["masks"].nbytes < max(masks.nbytes / 8, 50)
    again = restored(tensors, 28)
    assert torch.equal(again.masks, masks) and torch.equal(again.ious, found.ious)


def test_the_grid_is_prompted_once_an_image(tiny: Matcher, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    decode = Sam.decode

    def counted(sam: Sam, embedding: Tensor, sparse: Tensor, *rest: Any, **which: slice) -> Any:
        asked.append(len(sparse))
        return decode(sam, embedding, sparse, *rest, **which)

    monkeypatch.setattr(Sam, "decode", counted)
    model = Matcher(tiny.networks, replace(FEW["coco"], grid=5), "coco")
    images, masks = episode(2)
    (query,) = model.encode_image(images[:1])
    assert sum(asked) == 25
    for support in (1, 2):
        features = encode_parts(model.image_parts[:1], images[[support]])
        shots = model.encode_support(images[[support]], masks[[support]], features)
        asked.clear()
        model.segment([query], [shots], seeds=[0])
        assert 0 < sum(asked) < 25


def test_a_grid_has_the_centres_of_its_cells() -> None:
    assert grid(2, 100).tolist() == [[[25, 25]], [[75, 25]], [[25, 75]], [[75, 75]]]


def test_real_decoder_masks_have_the_side_asked_for(tiny: Matcher) -> None:
    images, _ = episode(0)
    query = tiny.encode_image(images[:1])[0]
    embedding, view = query["embedding"], tiny.networks.view(query)
    points = torch.tensor([[[30, 40]], [[70, 20]]])
    common: dict[str, Any] = {"iou": 0, "stability": 0}
    single = prompted(tiny.sam, embedding, view, points, None, multimask=False, **common)
    triple = prompted(tiny.sam, embedding, view, points, None, multimask=True, **common)
    assert single.masks.shape == (2, SIDE, SIDE) and triple.masks.shape == (6, SIDE, SIDE)
    prompt = tiny.sam.prompt(points.float() * (64 / SIDE), torch.ones(2, 1))
    logits, scores = tiny.sam.decode(embedding, *prompt)
    assert torch.allclose(triple.ious, scores[:, 1:].flatten())
    big = F.interpolate(
        F.interpolate(logits, (64, 64), mode="bilinear"), (SIDE, SIDE), mode="bilinear"
    )
    assert torch.equal(single.masks, big[:, 0] > 0)


def far(distances: Tensor) -> Distances:
    """Of masks of one patch each, from a foreground of one patch, with the costs given."""
    return Distances(distances.double().numpy()[None], np.eye(len(distances), dtype=bool))


def test_filters_yield_to_the_greatest_value_there_is() -> None:
    own = Settings(sizes=(1, 1), samples=1, alpha=0, beta=1, purity=0.5, coverage=0.4, merged=2)

    def equal(some: Tensor) -> Distances:
        return far(torch.ones(len(some)))

    purity = torch.tensor([0.1, 0.3, 0.9, 0.28])
    assert chosen(purity, torch.tensor([0.5, 0.5, 0.1, 0.6]), equal, own).tolist() == [1]
    everything = replace(own, purity=0, coverage=0)
    assert chosen(purity, torch.ones(4), equal, everything).tolist() == [2]
    half = replace(everything, share=0.3)
    assert chosen(purity, torch.ones(4), equal, half).tolist() == [2, 1]
    assert chosen(purity[:0], purity[:0], equal, own).tolist() == []


def test_near_the_best_score_is_near_in_distance_too() -> None:
    own = replace(PRESETS["coco"], purity=0.0)
    ones = torch.ones(4)

    def merged(*scores: float) -> list[int]:
        values = torch.tensor(scores, dtype=torch.double)
        return chosen(ones, ones, lambda some: far(1 - values[some]), own).tolist()

    assert merged(0.6, 0.9, 0.89, 0.5) == [1, 2]
    assert merged(0.1, 0.2, 0.19, 0.0) == [1]  # the best however far it is
    assert merged(0.9, 0.9, 0.9, 0.9) == [0, 1, 2, 3]


@pytest.mark.parametrize("preset", ["coco", "fss", "parts"])
def test_keeps_the_contract(preset: str) -> None:
    findings = check_segmenter(load_model("matcher", {"random": "tiny", "preset": preset}))
    assert [(f.check, f.detail) for f in findings if not f.passed] == []


def test_weights_must_be_named() -> None:
    with pytest.raises(ModelError, match=r"matcher has no SAM.*sam=PATH"):
        load_model("matcher")
