"""Image features in parts: each is kept and shared by itself, and no bit of a result changes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.engines.runner import run_matrix
from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.evaluator import Evaluator
from benchmarks.evaluation.loader import Loader
from benchmarks.results.records import CacheRecord
from benchmarks.results.store import read_result
from datasets_prep.prepared.dataset import PreparedDataset
from models.catalog import load_model
from models.methods.sam import Sam
from models.segmenter import Features, ImagePart, encode_parts
from tests.benchmarks.evaluation.test_evaluator import Quiet, late_images
from tests.tiny import ColourModel, tiny_config, tiny_dataset

COLOUR, SHADED, LIT = "tests.tiny:ColourModel", f"{__name__}:Shaded", f"{__name__}:Lit"
TINY = {"random": "tiny"}


class Shaded(ColourModel):
    """The colour model with a second part that only this one has: how light an image is."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.image_parts = (
            ImagePart("colour", super().encode_image),
            ImagePart("light", self._light),
        )

    def encode_image(self, images: Tensor) -> list[Features]:
        return encode_parts(self.image_parts, images)

    def segment(self, queries: Sequence[Features], supports: Any) -> Tensor:
        assert all(query["light"] == query["pixels"].mean() for query in queries)
        return super().segment(queries, supports)

    @staticmethod
    def _light(images: Tensor) -> list[Features]:
        return [Features({"light": image.mean()}) for image in images]


class Lit(Shaded):
    """The same, where only a query knows how light it is, and from that how dark."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain)
        colour, light = self.image_parts
        dark = ImagePart("dark", self._dark, after=True, supports=False)
        self.image_parts = (colour, replace(light, supports=False), dark)

    def encode_support(self, images: Tensor, masks: Tensor, features: Any) -> list[Features]:
        assert all(feature.tensors.keys() == {"pixels"} for feature in features)
        return super().encode_support(images, masks, features)

    def segment(self, queries: Sequence[Features], supports: Any) -> Tensor:
        assert all(query["dark"] == 1 - query["pixels"].mean() for query in queries)
        return super().segment(queries, supports)

    @staticmethod
    def _dark(images: Sequence[Features]) -> list[Features]:
        return [Features({"dark": 1 - image["light"]}) for image in images]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    tiny_dataset(folder / "data")
    return folder


def measured(
    root: Path, results: Path, models: Sequence[tuple[str, Any]], **changes: object
) -> tuple[list[CacheRecord], list[list[list[int]]]]:
    """What the cache did for each model of one run, and the areas of its episodes."""
    wanted = tiny_config(
        root,
        results_root=results,
        models=[
            {"name": f"{number}", "model": model, "options": options}
            for number, (model, options) in enumerate(models)
        ],
        **{"datasets": [{"name": "tiny", "shots": [1], "folds": [0]}], "limit": 12, **changes},
    )
    outcomes = run_matrix(wanted, listener=Quiet())
    areas = [read_result(results, o.key).counts.areas.tolist() for o in outcomes]
    return [o.record.cache for o in outcomes], areas  # type: ignore[union-attr, misc]


def test_a_part_that_another_model_has_encoded_is_not_encoded_again(
    root: Path, tmp_path: Path
) -> None:
    (colour, after), areas = measured(root, tmp_path / "ab", [(COLOUR, {}), (SHADED, {})])
    (alone, free), _ = measured(root, tmp_path / "ba", [(SHADED, {}), (COLOUR, {})])
    images = colour.image_encodes
    assert 0 < images < colour.naive_image_encodes
    assert (after.image_encodes, alone.image_encodes, free.image_encodes) == (images, 2 * images, 0)
    assert after.naive_image_encodes == 2 * colour.naive_image_encodes
    assert areas[0] == areas[1]
    # Both parts are there, and each counts its bytes: a scalar an image beside 16×16 colours.
    assert after.peak_bytes >= colour.peak_bytes + 4 * images


def test_a_part_that_supports_do_not_need_is_encoded_of_queries_alone(
    root: Path, tmp_path: Path
) -> None:
    listed = PreparedDataset(root / "data", "tiny").episodes("fixed-v1", 0, 1)[:12]
    queries = len({episode.query for episode in listed})
    (colour, lit), areas = measured(root, tmp_path, [(COLOUR, {}), (LIT, {})])
    assert lit.image_encodes == 2 * queries and queries < colour.image_encodes
    assert lit.naive_image_encodes == colour.naive_image_encodes + 2 * len(listed)
    assert areas[0] == areas[1]


@pytest.mark.parametrize(
    "changes", [{"cache": {"host": 0}}, {"cache": {"host": 9000}}, {"workers": 2}]
)
def test_cache_and_workers_change_no_bit(root: Path, tmp_path: Path, changes: Any) -> None:
    two = [(COLOUR, {}), (SHADED, {"gain": 2.0}), (LIT, {})]
    _, areas = measured(root, tmp_path / "a", two)
    caches, again = measured(root, tmp_path / "b", two, **changes)
    assert again == areas
    if changes.get("cache") == {"host": 0}:  # nothing is kept, nor shared
        assert caches[1].image_encodes == 2 * caches[0].image_encodes > 0


def test_images_of_all_parts_are_decoded_ahead(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few pixels are kept: else those that the first model read would still be there.
    monkeypatch.setattr("benchmarks.evaluation.loader._PIXEL_BYTES", 8 * 3 * 16 * 16)
    late = late_images(monkeypatch)
    measured(root, tmp_path, [(COLOUR, {}), (SHADED, {})])
    assert late == []


def test_what_was_encoded_in_calls_of_another_size_is_not_shared(root: Path) -> None:
    loader = Loader(PreparedDataset(root / "data", "tiny"), 1)
    cpu = torch.device("cpu")
    cache = FeatureCache([Tier(cpu, 2**20)])
    found = []
    for size in (1, 2, 1):
        evaluator = Evaluator(ColourModel(), loader, cache, cpu, encode_batch=size)
        evaluator._images(loader.dataset.image_ids[:4], evaluator._parts)
        found.append(evaluator.encodes.images)
    loader.close()
    assert found == [4, 4, 0]  # a call's size may change float rounding


def test_all_models_of_sam_share_its_embeddings(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    embed = Sam.embed

    def counted(sam: Sam, pixels: Tensor) -> list[Tensor]:
        embedded.append(len(pixels))
        return embed(sam, pixels)

    monkeypatch.setattr(Sam, "embed", counted)
    padded = {**TINY, "sam_input": "padded"}
    models = [
        ("persam", TINY),
        ("persam-f", {**TINY, "steps": 5}),
        ("gf-sam", padded),
        ("matcher", {**padded, "preset": "fss"}),
        ("vrp-sam", padded),
    ]
    caches, together = measured(root, tmp_path / "all", models, limit=4)
    images = caches[0].image_encodes
    # VRP-SAM reads supports from pixels: it encodes queries alone.
    queries = caches[4].image_encodes
    assert [cache.image_encodes for cache in caches[:4]] == [images, 0, images, images]
    assert 0 < queries < images
    assert sum(embedded) == images
    embedded.clear()
    for number, model in enumerate(models):
        _, (alone,) = measured(root, tmp_path / f"{number}", [model], limit=4)
        assert alone == together[number]
    assert sum(embedded) == 2 * images + 3 * queries  # only PerSAM's supports are seen by SAM


def test_patches_are_shared_where_the_networks_see_the_same(root: Path, tmp_path: Path) -> None:
    matcher = load_model("matcher", TINY)
    size = matcher.networks.side  # type: ignore[attr-defined]
    patches = {"backbone": "dinov2-tiny", "weights": "random", "layer": "prenorm", "size": size}
    both = [("dense-nn", patches), ("matcher", {**TINY, "preset": "fss"})]
    (dense, after), together = measured(root, tmp_path / "both", both, limit=4)
    (alone,), (areas,) = measured(root, tmp_path / "alone", both[1:], limit=4)
    assert alone.image_encodes == dense.image_encodes + after.image_encodes
    assert 0 < after.image_encodes < dense.image_encodes  # SAM's, of the queries
    assert areas == together[1]
