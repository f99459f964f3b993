"""One run in every way it can go: the counts are always those of the plain loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.config.loading import resolve_device
from benchmarks.config.matrix import cells, plan_matrix
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.run import Outcome
from benchmarks.engines.runner import _loads, run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.loader import Loader
from benchmarks.results.store import RunKey, read_result
from datasets_prep.episodes.episode import read_episodes
from datasets_prep.prepared.dataset import PreparedDataset
from models.geometry import Geometry
from models.segmenter import Features
from tests.tiny import ColourModel, tiny_config, tiny_dataset


class Quiet:
    """A listener that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def matrix_started(self, runs: int, episodes: int) -> None: ...

    def run_started(self, key: RunKey, total: int, done: int) -> None: ...

    def advanced(self, episodes: int) -> None: ...

    def run_finished(self, outcome: Outcome) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluator")
    tiny_dataset(folder / "data")
    return folder


def config(root: Path, results: Path, **changes: object) -> BenchConfig:
    changes = {"limit": 40, **changes}
    return tiny_config(root, results_root=results, **changes)


def measured(root: Path, results: Path, **changes: object) -> list[list[list[int]]]:
    wanted = config(root, results, **changes)
    outcomes = run_matrix(wanted, listener=Quiet())
    return [areas_of(results, outcome.key) for outcome in outcomes]


def areas_of(results: Path, key: RunKey) -> list[list[int]]:
    counts = read_result(results, key).counts
    return np.column_stack([counts.episode, counts.class_id, counts.areas]).tolist()


def plain_loop(root: Path, fold: int, shots: int, limit: int) -> list[list[int]]:
    """Open, resize, compare, count: no batches, no cache, nothing shared with the evaluator."""
    dataset = PreparedDataset(root / "data", "tiny")
    rows = []
    lists = root / "data" / "tiny" / "episodes" / "fixed-v1" / f"fold{fold}_{shots}shot.jsonl"
    for episode in read_episodes(lists)[:limit]:
        means = []
        for support in episode.supports:
            pixels = small(dataset, support)
            label = dataset.labels(support) == episode.class_index + 1
            mask = nearest(label, 16)
            inside = [pixels[:, mask].sum(1) / max(mask.sum(), 1)]
            outside = [pixels[:, ~mask].sum(1) / max((~mask).sum(), 1)]
            means.append((inside[0], outside[0]))
        fg = np.mean([m[0] for m in means], axis=0)[:, None, None]
        bg = np.mean([m[1] for m in means], axis=0)[:, None, None]
        query = small(dataset, episode.query)
        scores = ((query - bg) ** 2 - (query - fg) ** 2).sum(0)
        labels = dataset.labels(episode.query)
        height, width = labels.shape
        stretched = torch.nn.functional.interpolate(
            torch.tensor(scores)[None, None].float(), (height, width), mode="bilinear"
        )[0, 0]
        predicted = stretched.numpy() > 0
        valid = labels != 255
        truth = labels == episode.class_index + 1
        rows.append(
            [
                episode.index,
                episode.class_index,
                int((predicted & truth & valid).sum()),
                int(((predicted | truth) & valid).sum()),
                int((~predicted & ~truth & valid).sum()),
                int(((~predicted | ~truth) & valid).sum()),
            ]
        )
    return rows


def small(dataset: PreparedDataset, image: str) -> np.ndarray:
    resized = dataset.image(image).resize((16, 16), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float64).transpose(2, 0, 1) / 255


def nearest(mask: np.ndarray, side: int) -> np.ndarray:
    rows = np.arange(side) * mask.shape[0] // side
    columns = np.arange(side) * mask.shape[1] // side
    return mask[rows][:, columns]


def test_counts_are_those_of_the_plain_loop(root: Path, tmp_path: Path) -> None:
    got = measured(root, tmp_path)
    expected = [plain_loop(root, fold, shots, 40) for fold in (0, 1) for shots in (1, 2)]
    difference = np.abs(np.array(got) - np.array(expected))
    # Float rounding may move single pixels that lie on the decision boundary.
    assert difference[:, :, :2].max() == 0
    assert difference.sum() <= 4
    assert np.array(expected)[:, :, 2].sum() > 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"cache": {"host": 0}},
        {"cache": {"host": 8000}},
        {"threads": 1},
        {"threads": 4},
    ],
)
def test_cache_and_threads_change_no_bit(
    root: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert measured(root, tmp_path / "a") == measured(root, tmp_path / "b", **changes)


def test_each_image_and_pair_is_encoded_once(root: Path, tmp_path: Path) -> None:
    wanted = config(root, tmp_path, limit=None)
    summary = plan_matrix(wanted)[0]
    outcome = run_matrix(wanted, listener=Quiet())[0]
    cache = outcome.record.cache
    assert cache is not None
    assert cache.image_encodes == summary.images < summary.naive_image_encodes
    assert cache.support_encodes == summary.pairs < summary.naive_support_encodes
    assert cache.naive_image_encodes == summary.naive_image_encodes


def test_every_stage_is_timed_and_none_twice(root: Path, tmp_path: Path) -> None:
    record = run_matrix(config(root, tmp_path), listener=Quiet())[0].record
    assert record is not None
    assert record.stages is not None
    times = record.stages.model_dump()
    assert all(seconds > 0 for seconds in times.values())
    assert sum(times.values()) < record.seconds


def test_shots_of_one_model_share_what_they_encoded(root: Path, tmp_path: Path) -> None:
    wanted = config(root, tmp_path, limit=None)
    one, two = (outcome.record.cache for outcome in run_matrix(wanted, listener=Quiet())[:2])
    assert one is not None
    assert two is not None
    distinct = plan_matrix(wanted)[1]
    # fixed-v1 lists are nested: 2-shot episodes hold every pair of the 1-shot ones.
    assert one.support_encodes + two.support_encodes == distinct.pairs
    assert one.image_encodes + two.image_encodes == distinct.images


def test_a_checkpoint_may_be_named_by_its_fold(root: Path, tmp_path: Path) -> None:
    per_fold = [
        {"name": "folds", "model": "tests.tiny:ColourModel", "options": {"gain": "1{fold}"}}
    ]
    outcomes = run_matrix(config(root, tmp_path, models=per_fold), listener=Quiet())
    gains = {(o.key.fold, o.record.setup.model.config["gain"]) for o in outcomes}
    assert gains == {(0, 10.0), (1, 11.0)}


def test_the_fold_is_filled_in_however_deep_it_stands(root: Path, tmp_path: Path) -> None:
    deep = {"files": ["a/fold{fold}", {"b": "{fold}"}], "depth": 2}
    models = [{"name": "m", "model": "tests.tiny:ColourModel", "options": deep}]
    wanted = config(root, tmp_path, models=models)
    loaded = [model.options for model, _ in _loads(wanted, list(cells(wanted)))]
    assert loaded == [{"files": [f"a/fold{n}", {"b": str(n)}], "depth": 2} for n in (0, 1)]


def test_models_with_one_backbone_share_image_features(root: Path, tmp_path: Path) -> None:
    models = [
        {"name": name, "model": "tests.tiny:ColourModel", "options": {"gain": gain}}
        for name, gain in (("a", 1.0), ("b", 2.0))
    ]
    datasets = [{"name": "tiny", "shots": [1], "folds": [0]}]
    outcomes = run_matrix(
        config(root, tmp_path, models=models, datasets=datasets), listener=Quiet()
    )
    first, second = (outcome.record.cache for outcome in outcomes)
    assert first is not None
    assert second is not None
    assert first.image_encodes > 0
    assert second.image_encodes == 0
    assert second.support_encodes == first.support_encodes


class Private(ColourModel):
    """Shares its features with nobody."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.image_key = None


class Told(ColourModel):
    """Is told the names of the classes, and keeps them."""

    wants = frozenset({"names"})
    heard: ClassVar[list[str]] = []

    def segment(self, queries: Any, supports: Any, names: Any) -> Any:
        assert len(names) == len(queries)
        self.heard.extend(names)
        return super().segment(queries, supports)


def test_a_model_is_told_the_names_that_it_wants(root: Path, tmp_path: Path) -> None:
    models = [{"name": "a", "model": "tests.benchmarks.evaluation.test_evaluator:Told"}]
    datasets = [{"name": "tiny", "shots": [1], "folds": [0]}]
    wanted = config(root, tmp_path, models=models, datasets=datasets)
    (outcome,) = run_matrix(wanted, listener=Quiet())
    assert set(Told.heard) == set(outcome.record.setup.dataset.classes.values())


def test_features_that_nobody_shares_go_with_their_model(root: Path, tmp_path: Path) -> None:
    models = [
        {"name": name, "model": "tests.benchmarks.evaluation.test_evaluator:Private"}
        for name in ("a", "b")
    ]
    datasets = [{"name": "tiny", "shots": [1], "folds": [0]}]
    outcomes = run_matrix(
        config(root, tmp_path, models=models, datasets=datasets), listener=Quiet()
    )
    first, second = (outcome.record.cache for outcome in outcomes)
    assert first == second


class PixelSupports(ColourModel):
    """Encodes supports from their pixels alone."""

    support_uses_features = False
    support_reads_pixels = True

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        return super().encode_support(images, masks, self.encode_image(images))


def late_images(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by each image that is not decoded, nor about to be, when it is asked for."""
    late, image = [], Loader.image

    def watched(loader: Loader, image_id: str, geometry: Geometry) -> Tensor:
        key = (loader.dataset.digest, image_id, geometry)
        if key not in loader._pending and key not in loader._stores.pixels:
            late.append(image_id)
        return image(loader, image_id, geometry)

    monkeypatch.setattr(Loader, "image", watched)
    return late


@pytest.mark.parametrize("model", ["tests.tiny:ColourModel", f"{__name__}:PixelSupports"])
def test_queries_and_supports_are_decoded_ahead(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    late = late_images(monkeypatch)
    models = [{"name": "ahead", "model": model}]
    outcome = run_matrix(config(root, tmp_path, models=models), listener=Quiet())[1]
    assert late == []
    assert outcome.record.cache is not None
    uses = model.endswith("ColourModel")
    assert outcome.record.cache.naive_image_encodes == 40 * (3 if uses else 1)


def test_a_resumed_run_counts_the_encodes_of_its_last_sitting(root: Path, tmp_path: Path) -> None:
    class Stop(Quiet):
        def advanced(self, episodes: int) -> None:
            raise KeyboardInterrupt

    wanted = config(root, tmp_path, datasets=[{"name": "tiny", "shots": [2], "folds": [0]}])
    with pytest.raises(KeyboardInterrupt):
        run_matrix(wanted, listener=Stop())
    cache = run_matrix(wanted, listener=Quiet())[0].record.cache
    assert cache is not None
    rest = 40 - ColourModel.batch_size
    assert cache.naive_image_encodes == 3 * rest
    assert cache.naive_support_encodes == 2 * rest


def test_a_finished_run_is_not_measured_again(root: Path, tmp_path: Path) -> None:
    wanted = config(root, tmp_path)
    first = run_matrix(wanted, listener=Quiet())
    again = run_matrix(wanted, listener=Quiet())
    assert {o.status for o in first} == {"measured"}
    assert {o.status for o in again} == {"already complete"}
    assert [o.record for o in again] == [o.record for o in first]
    fresh = run_matrix(wanted, resume="fresh", listener=Quiet())
    assert {o.status for o in fresh} == {"measured"}


def test_another_setup_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    run_matrix(config(root, tmp_path), listener=Quiet())
    other = [{"name": "colour", "model": "tests.tiny:ColourModel", "options": {"gain": 3.0}}]
    with pytest.raises(BenchError, match=r"model\.config\.gain = 1\.0, now it is 3\.0.*--fresh"):
        run_matrix(config(root, tmp_path, models=other), listener=Quiet())


def test_saved_predictions_are_the_counted_masks(root: Path, tmp_path: Path) -> None:
    wanted = config(root, tmp_path, save_predictions=True, limit=10)
    key = run_matrix(wanted, listener=Quiet())[0].key
    dataset = PreparedDataset(root / "data", "tiny")
    for episode in dataset.episodes("fixed-v1", key.fold, key.shots)[:10]:
        path = key.folder(tmp_path) / "predictions" / f"{episode.index:06d}.png"
        mask = np.asarray(Image.open(path)) == 255
        truth = dataset.mask(episode.query, episode.class_index)
        assert mask.shape == truth.shape
        counted = read_result(tmp_path, key).counts.areas[episode.index, 0]
        assert (mask & (truth == 1)).sum() == counted


def test_the_first_episodes_of_a_list_of_runs_are_one_run(root: Path, tmp_path: Path) -> None:
    datasets = [{"name": "tiny", "protocol": "bam", "shots": [1], "folds": [0]}]
    record = run_matrix(config(root, tmp_path, datasets=datasets, limit=6), listener=Quiet())[0]
    assert record.record.setup.protocol.runs == 1
    assert record.record.miou == pytest.approx(np.mean(list(record.record.class_iou.values())))


def test_masks_that_were_not_kept_are_named(root: Path, tmp_path: Path) -> None:
    datasets = [{"name": "tiny", "shots": [1], "folds": [0]}]
    run_matrix(config(root, tmp_path, datasets=datasets), listener=Quiet())
    wanted = config(root, tmp_path, datasets=datasets, save_predictions=True)
    listener = Quiet()
    assert run_matrix(wanted, listener=listener)[0].status == "already complete"
    assert "no masks are kept" in listener.notes[0]
    run_matrix(wanted, resume="fresh", listener=(listener := Quiet()))
    assert listener.notes == []


def test_an_absent_device_is_refused() -> None:
    with pytest.raises(BenchError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(BenchError, match="sees 0 GPUs"):
            resolve_device("cuda")
