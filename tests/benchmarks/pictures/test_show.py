"""Pictures of episodes, looked at pixel by pixel."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.engines.runner import run_matrix
from benchmarks.evaluation.again import same_episodes
from benchmarks.evaluation.episode_mask import kept_mask
from benchmarks.pictures.episode import (
    Prediction,
    draw,
    intersection_over_union,
    overlay,
    panel_size,
)
from benchmarks.pictures.gallery import draw_gallery
from benchmarks.results.store import RunKey, find_runs, read_result
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import tiny_config, tiny_dataset

ORANGE = (255, 170, 0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def dataset(root: Path) -> PreparedDataset:
    return tiny_dataset(root / "data")


@pytest.fixture(scope="module")
def squashed(root: Path, dataset: PreparedDataset) -> RunKey:
    """A run whose masks and truths were squashed onto a grid."""
    where = {"name": "tiny", "shots": [1], "folds": [0], "protocol": "hsnet"}
    config = tiny_config(root, limit=20, datasets=[where], save_predictions="rle")
    run_matrix(config, listener=Quiet())
    (key,) = find_runs(root / "results")
    return key


def test_overlay_tints_outlines_and_greys() -> None:
    image = Image.new("RGB", (24, 24), (0, 0, 0))
    mask = np.zeros((24, 24), np.uint8)
    mask[4:20, 4:20] = 1
    mask[0:2] = 255
    pixels = np.asarray(overlay(image, mask, ORANGE))
    assert pixels.shape == (240, 240, 3)  # ten times as large
    assert tuple(pixels[41, 100]) == ORANGE  # outline
    assert tuple(pixels[120, 120]) == (102, 68, 0)  # inside: 0.4 of the colour
    assert tuple(pixels[30, 120]) == (0, 0, 0)  # outside
    assert tuple(pixels[5, 120]) == (51, 51, 51)  # ignored


def test_iou_leaves_ignored_pixels_out_and_works_on_the_predictions_grid() -> None:
    truth = np.zeros((4, 4), np.uint8)
    truth[:2] = 1
    truth[3] = 255
    mask = np.zeros((4, 4), bool)
    mask[1:] = True
    assert intersection_over_union(mask, truth) == 4 / 12
    assert intersection_over_union(np.kron(mask, np.ones((2, 2), bool)), truth) == 4 / 12
    assert intersection_over_union(np.zeros((4, 4), bool), np.zeros((4, 4), np.uint8)) == 1.0


def test_iou_is_the_measured_one_where_the_protocol_squashes(
    root: Path, dataset: PreparedDataset, squashed: RunKey
) -> None:
    result = read_result(root / "results", squashed)
    drawn = [
        intersection_over_union(
            kept_mask(root / "results", squashed, episode.index),
            dataset.mask(episode.query, episode.class_index),
        )
        for episode in same_episodes(result.record, dataset)
    ]
    assert drawn == result.counts.ious.tolist()


def test_a_very_wide_image_is_drawn_less_high(
    root: Path, dataset: PreparedDataset, squashed: RunKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert panel_size(Image.new("L", (500, 375)), 240) == (320, 240)
    assert panel_size(Image.new("L", (2, 5000)), 240) == (1, 240)
    monkeypatch.setattr(PreparedDataset, "image", lambda *_: Image.new("RGB", (5000, 2)))
    episode = dataset.episodes("fixed-v1", 0, 1)[0]
    assert draw(dataset, episode).size == (3 * 960 + 4 * 8, 240 + 22 + 2 * 8)
    ((shown, *_),) = draw_gallery(root / "data", root / "results").values()
    sizes = {Image.open(io.BytesIO(panel.jpeg)).size for panel in shown.panels}
    assert sizes == {(512, 1)}


def test_a_picture_has_a_panel_for_every_part(dataset: PreparedDataset, tmp_path: Path) -> None:
    one, five = (dataset.episodes("fixed-v1", 0, k)[0] for k in (1, 2))
    plain = draw(dataset, one)
    truth = dataset.mask(one.query, one.class_index) == 1
    judged = draw(dataset, one, Prediction("me", truth))
    assert plain.height == judged.height
    assert plain.width < draw(dataset, five).width
    # Up to the last panel the picture is the same; that one shows the mask in its own colour.
    left = judged.crop((0, 0, plain.width - 8, plain.height))
    assert left.tobytes() == plain.crop((0, 0, plain.width - 8, plain.height)).tobytes()
    panel = np.asarray(judged)[:, plain.width :]
    assert (panel == (0, 120, 255)).all(axis=2).any()
    assert not (np.asarray(plain) == (0, 120, 255)).all(axis=2).any()


def test_an_empty_prediction_has_no_tint(dataset: PreparedDataset) -> None:
    episode: Episode = dataset.episodes("fixed-v1", 1, 1)[5]
    height, width = dataset.size(episode.query)
    picture = draw(dataset, episode, Prediction("none", np.zeros((height, width), bool)))
    assert not (np.asarray(picture) == (0, 120, 255)).all(axis=2).any()
