"""Speed is measured on what it says: the same masks, the counts of the plan, both ways in turn."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.errors import BenchError
from benchmarks.evaluation.extras import episode_seed
from benchmarks.evaluation.plan import make_plan
from benchmarks.speed import measure, naive_path
from benchmarks.speed.cached import CachedPath
from benchmarks.speed.clock import Clock
from benchmarks.speed.generated import GeneratedImages
from datasets_prep.episodes.episode import Episode, digest
from models.catalog import load_model
from models.geometry import Native, Squash
from models.methods.diffews import DiffewS
from models.segmenter import BaseSegmenter, Features

EPISODES = [
    Episode(0, 3, "a", ("b", "c")),
    Episode(1, 3, "b", ("c", "a")),
    Episode(2, 5, "a", ("d", "c")),
    Episode(3, 3, "d", ("a", "c")),
    Episode(4, 3, "c", ("d", "d")),
]
IMAGES, PAIRS = 4, 6  # a b c d; a3 b3 c3 d3, c5 d5


@pytest.fixture(scope="module")
def diffews() -> DiffewS:
    torch.set_num_threads(1)
    model: DiffewS = load_model("diffews", {"random": "tiny", "resolution": 32})
    return model


def test_the_naive_path_is_stock_and_gives_the_same_masks(diffews: DiffewS) -> None:
    report = measure(diffews, EPISODES, naive_path(diffews), batch_size=3)
    assert report.pixels == 5 * 32 * 32
    assert report.different_pixels <= 1 and report.same_masks
    assert report.encodes == {
        "naive": {"image": 15, "support": 10},
        "cached": {"image": IMAGES, "support": PAIRS},
        "sample": {"image": IMAGES, "support": PAIRS},
    }
    assert report.ratio == report.naive_seconds / report.cached_seconds
    stages = report.stages
    assert stages["encode_support"] > stages["support_pass"] > 0
    assert stages["segment"] > stages["query_pass"] + stages["decode"] > 0
    assert report.feature_bytes["image"] == 4 * 4 * 4 * 4
    assert report.cache_peak_bytes > PAIRS * report.feature_bytes["support"]
    assert report.peak_memory_bytes > 4 * report.parameters


def test_a_sample_is_composed_with_the_counts_of_the_list(diffews: DiffewS) -> None:
    report = measure(diffews, EPISODES, naive_path(diffews), sample=2)
    stages = report.stages
    assert (report.sample, report.episodes) == (2, 5)
    assert report.encodes["sample"] == {"image": 3, "support": 3}
    assert report.naive_seconds == 5 * report.naive_episode
    assert report.cached_seconds == pytest.approx(
        IMAGES * stages["encode_image"] + PAIRS * stages["encode_support"] + 5 * stages["segment"]
    )


class Brighter(BaseSegmenter):
    """Foreground where a query is brighter than its supports; every image has its own grid."""

    geometry = Native(8)

    def encode_image(self, images: Tensor) -> list[Features]:
        return [Features({"image": image.mean(0)}) for image in images]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        return [
            Features({"level": (f["image"] * m).sum() / m.sum()})
            for f, m in zip(features, masks, strict=True)
        ]

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        levels = [torch.stack([s["level"] for s in row]).mean() for row in supports]
        return torch.stack([q["image"] - v for q, v in zip(queries, levels, strict=True)])


def test_any_segmenter_can_be_measured_whatever_its_grids() -> None:
    model = Brighter()
    report = measure(model, EPISODES, naive_path(model), batch_size=2, encode_batch=2)
    assert report.encodes["sample"] == {"image": IMAGES, "support": PAIRS}
    assert report.different_pixels == 0
    assert set(report.stages) == {"encode_image", "encode_support", "segment"}
    assert "encode_image" not in vars(model)
    assert all(isinstance(key, str) for key in asdict(report))


class Asking(Brighter):
    """Keeps what each call of `segment` is told beside features."""

    geometry = Squash(16)

    def __init__(self, want: str) -> None:
        self.wants = frozenset({want})
        self.told: list[list[Any]] = []

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]], **told: Any
    ) -> Tensor:
        (want,) = self.wants
        assert told.keys() == {want}
        self.told.append([v.flatten().tolist() if want == "truths" else v for v in told[want]])
        return super().segment(queries, supports)


@pytest.mark.parametrize("want", ["seeds", "truths", "names"])
def test_both_ways_are_told_what_a_model_wants_of_each_episode(want: str) -> None:
    model = Asking(want)
    measure(model, EPISODES, naive_path(model), batch_size=5)
    cached, *naive = model.told[2:]  # after a batch and an episode to warm up
    assert cached == [told for (told,) in naive]
    planned = sorted(EPISODES, key=lambda e: (e.class_index, e.query))
    pictures = GeneratedImages(model.geometry, torch.device("cpu"))
    masks = pictures.masks([(e.query, e.class_index) for e in planned])
    assert cached == {
        "seeds": [episode_seed(digest(EPISODES), e.index) for e in planned],
        "truths": [mask.flatten().tolist() for mask in masks],
        "names": [f"class {e.class_index}" for e in planned],
    }[want]  # fmt: skip


@pytest.mark.parametrize("name", ["random", "oracle-box"])
def test_floors_and_oracles_that_are_told_of_episodes_can_be_measured(name: str) -> None:
    model = load_model(name)
    assert measure(model, EPISODES, naive_path(model), batch_size=2).different_pixels == 0


def test_a_cache_too_small_changes_no_mask_but_encodes_again(diffews: DiffewS) -> None:
    report = measure(diffews, EPISODES, naive_path(diffews), batch_size=1, cache_bytes=36_000)
    assert report.encodes["sample"]["support"] > PAIRS
    assert report.cache_peak_bytes <= 36_000
    assert report.same_masks


def masks(model: DiffewS, batch_size: int, budget: int) -> Tensor:
    """The masks of all episodes, in order, through a cache of `budget` bytes."""
    device = torch.device("cpu")
    pictures = GeneratedImages(model.geometry, device)
    plan = make_plan(EPISODES, pictures.grid, batch_size)
    path = CachedPath(model, pictures, plan, "0" * 8, device, encode_batch=1, budget=budget)
    found = {}
    for batch in plan.batches:
        for episode, mask in zip(batch.episodes, path.segment(batch), strict=True):
            found[episode.index] = mask
    assert path.cache.peak_bytes <= budget
    return torch.stack([found[index] for index in range(len(EPISODES))])


def test_cached_or_not_and_at_any_cache_size_masks_are_identical(diffews: DiffewS) -> None:
    everything = masks(diffews, 2, 2**30)
    assert torch.equal(everything, masks(diffews, 2, 0))
    assert torch.equal(everything, masks(diffews, 2, 75_000))


def test_another_batch_size_changes_next_to_no_pixel(diffews: DiffewS) -> None:
    one, all_together = masks(diffews, 1, 2**30), masks(diffews, 5, 2**30)
    assert (one != all_together).sum() <= 1


def test_different_masks_are_counted() -> None:
    model = Brighter()
    report = measure(model, EPISODES, lambda supports, query: torch.ones(1, *query.shape[2:]))
    assert report.different_pixels > 0.1 * report.pixels and not report.same_masks


def test_an_empty_list_is_refused() -> None:
    model = Brighter()
    with pytest.raises(BenchError, match="no episodes"):
        measure(model, [], naive_path(model))


def test_generated_images_depend_on_their_names_alone() -> None:
    one, two = (GeneratedImages(Squash(32), torch.device("cpu")) for _ in range(2))
    assert torch.equal(one.images(["x", "y"]), two.images(["y", "x"]).flip(0))
    assert not torch.equal(one.images(["x"]), one.images(["y"]))
    masks = one.masks([("x", 1), ("x", 2)])
    assert not torch.equal(masks[0], masks[1])
    assert all(0.05 < mask.mean() < 0.6 for mask in masks)


def test_the_clock_takes_medians_per_item(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 0.0, 4.0, 0.0, 10.0])
    clock = Clock(torch.device("cpu"))
    monkeypatch.setattr(clock, "now", lambda: next(ticks))
    call = clock.timed("stage", len)
    for size in (1, 2, 2):
        call([0] * size)
    assert clock.medians() == {"stage": 2.0}
    assert clock.items("stage") == 5
