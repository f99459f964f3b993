"""A run whose supports come as prompts: what the model gets, and that truths stay masks."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import evaluate
from benchmarks.evaluation.prompts import prompted
from benchmarks.results.figures import miou
from datasets_prep.prepared.dataset import PreparedDataset
from models.template import MeanColour
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


class Watching(MeanColour):
    """Remembers the areas of the masks that it is given."""

    def __init__(self) -> None:
        super().__init__(MeanColour.Options())
        self.areas: list[int] = []

    def encode_support(self, images, masks, features):  # type: ignore[no-untyped-def]
        self.areas += [int(mask.sum()) for mask in masks]
        return super().encode_support(images, masks, features)


def test_the_model_gets_the_prompt_and_not_the_mask(tiny: PreparedDataset) -> None:
    plain, boxed = Watching(), Watching()
    kwargs = {"folds": [0], "limit": 12}
    first = evaluate(plain, tiny, name="m", **kwargs)  # type: ignore[arg-type]
    second = evaluate(boxed, tiny, name="m", protocol="fixed-v1+box", **kwargs)  # type: ignore[arg-type]
    assert second.protocol.startswith("fixed-v1+box")
    assert sum(boxed.areas) > sum(plain.areas)
    assert first.results[0].record.setup.episodes == second.results[0].record.setup.episodes
    dataset = tiny
    episode = dataset.episodes("fixed-v1", 0, 1)[0]
    mask = dataset.mask(episode.supports[0], episode.class_index) == 1
    assert prompted(mask, "box").sum() >= mask.sum()


def test_an_oracle_sees_the_true_masks_whatever_the_prompt(tiny: PreparedDataset) -> None:
    scores = [
        evaluate("oracle-box", tiny, protocol=name, folds=[0], limit=12)
        for name in ("fixed-v1", "fixed-v1+point")
    ]
    areas = [own.results[0].counts.areas for own in scores]
    assert np.array_equal(*areas)
    assert miou(scores[0].results[0]) > 0


def test_prompts_of_one_support_do_not_share_features(
    tiny: PreparedDataset, tmp_path: Path
) -> None:
    from benchmarks.config.schema import BenchConfig, DatasetConfig, ModelConfig
    from benchmarks.engines.listener import ProgressListener
    from benchmarks.engines.runner import run_matrix
    from benchmarks.results.store import read_result
    from datasets_prep.runtime.progress import SILENT

    names = ("fixed-v1", "fixed-v1+point")

    def config(protocols: tuple[str, ...], results: Path) -> BenchConfig:
        return BenchConfig(
            data_root=tiny.root.parent,
            results_root=results,
            limit=12,
            device="cpu",
            datasets=tuple(
                DatasetConfig(name=tiny.name, protocol=name, shots=(1,), folds=(0,))
                for name in protocols
            ),
            models=(ModelConfig(name="m", model="models.template:MeanColour"),),
        )

    listener = ProgressListener(SILENT)
    together = run_matrix(config(names, tmp_path / "a"), listener=listener)
    for outcome, name in zip(together, names, strict=True):
        alone = run_matrix(config((name,), tmp_path / "b"), listener=listener)[0]
        found = [read_result(tmp_path / own, outcome.key).counts.areas for own in ("a", "b")]
        assert outcome.key == alone.key
        assert np.array_equal(*found)
