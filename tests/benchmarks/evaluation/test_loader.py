"""What a loader keeps, and what it lets go."""

from contextlib import closing
from pathlib import Path

import pytest
import torch

from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.evaluator import Evaluator
from benchmarks.evaluation.loader import Loader, Stores
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from tests.tiny import ColourModel, Tiny, TinyOptions, tiny_dataset

GEOMETRY = ColourModel().geometry


class Other(Tiny):
    """Its images have names that the tiny dataset's have too."""

    name = dataset = "other"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loader")
    tiny_dataset(root)
    prepare(Other(TinyOptions(images=30)), PrepareOptions(root, shots=(1,)))
    return root


def test_loaders_with_the_same_stores_mix_up_no_images(root: Path) -> None:
    stores = Stores()
    tiny, other = (Loader(PreparedDataset(root, name), 1, stores) for name in ("tiny", "other"))
    with closing(tiny), closing(other):
        name = next(iter(set(tiny.dataset.image_ids) & set(other.dataset.image_ids)))
        mine, theirs = tiny.image(name, GEOMETRY), other.image(name, GEOMETRY)
        assert mine is not theirs
        assert stores.pixels.currsize == mine.nbytes + theirs.nbytes


def test_what_was_loaded_ahead_for_nothing_is_let_go(root: Path) -> None:
    with closing(Loader(PreparedDataset(root, "tiny"), 1)) as loader:
        names = loader.dataset.image_ids[:6]
        loader.prefetch_images(names, GEOMETRY)
        first = loader.image(names[0], GEOMETRY)
        loader.look_elsewhere()
        assert len(loader._pending) <= 1  # what a thread is at
        assert loader.image(names[0], GEOMETRY) is first
        assert loader.image(names[5], GEOMETRY).shape[0] == 3


def test_images_that_are_not_read_are_where_the_model_is(root: Path) -> None:
    class Blind(ColourModel):
        image_reads_pixels = False

        def encode_image(self, images: torch.Tensor) -> list:
            raise ValueError(images.device)

    device = torch.device("meta")
    with closing(Loader(PreparedDataset(root, "tiny"), 1)) as loader:
        evaluator = Evaluator(Blind(), loader, FeatureCache([Tier(device, 0)]), device)
        with pytest.raises(ValueError, match="meta"):
            evaluator._images(loader.dataset.image_ids[:1], evaluator._parts)
