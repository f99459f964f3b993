"""Pictures of episodes, looked at pixel by pixel."""

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.cli import main
from benchmarks.engines.runner import run_matrix
from benchmarks.evaluation.again import same_episodes
from benchmarks.evaluation.episode_mask import kept_mask
from benchmarks.evaluation.prompts import prompted
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


def test_supports_are_drawn_with_the_prompt_that_models_get(dataset: PreparedDataset) -> None:
    episode = dataset.episodes("fixed-v1", 0, 1)[0]
    image = dataset.image(episode.supports[0])
    mask = dataset.mask(episode.supports[0], episode.class_index)
    for prompt, given in (("mask", mask), ("point", prompted(mask == 1, "point"))):
        support = overlay(image, given.astype(np.uint8), ORANGE)
        panel = draw(dataset, episode, prompt=prompt).crop((8, 30, 8 + support.width, 270))
        assert panel.tobytes() == support.tobytes()


def test_every_verb_draws_the_prompts_of_its_protocol(
    root: Path, dataset: PreparedDataset, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    where = {"name": "tiny", "shots": [1], "folds": [0], "protocol": "fixed-v1+point"}
    models = [{"name": "colour", "model": "tests.tiny:ColourModel"}, {"name": "random"}]
    changes = {"limit": 8, "datasets": [where], "models": models, "save_predictions": "rle"}
    run_matrix(tiny_config(root, results_root=store, **changes), listener=Quiet())
    (key,) = (key for key in find_runs(store) if key.model == "colour")
    episodes = dataset.episodes("fixed-v1", 0, 1)

    def bench(*words: str) -> None:
        places = ("--data-root", str(root / "data"), "--results-root", str(store))
        done = CliRunner().invoke(main, [*words, *places])
        assert done.exit_code == 0, done.output

    bench("show", "tiny", "0", "--run", "colour/fold0_1shot", "--out", f"{tmp_path}/0.png")
    bench("show", "tiny", "0", "-p", "fixed-v1+point", "--out", f"{tmp_path}/bare.png")
    bench("report", "colour", "--out", f"{tmp_path}/report")
    bench("compare", "colour", "random", "--pictures", f"{tmp_path}/compared")
    bare = draw(dataset, episodes[0], prompt="point")
    assert Image.open(tmp_path / "bare.png").tobytes() == bare.tobytes()
    reported = list(tmp_path.glob("report/*/fold0_*.png"))
    compared = list(tmp_path.glob("compared/*_colour.png"))
    assert reported and compared
    for path in (tmp_path / "0.png", *reported, *compared):
        number = int(path.stem.removesuffix("_colour").split("_")[-1])
        prediction = Prediction("colour", kept_mask(store, key, number))
        picture = draw(dataset, episodes[number], prediction, "point")
        assert Image.open(path).tobytes() == picture.tobytes()

    ((shown, *_),) = draw_gallery(root / "data", store).values()
    episode, expected = episodes[0], io.BytesIO()
    given = prompted(dataset.mask(episode.supports[0], episode.class_index) == 1, "point")
    support = overlay(dataset.image(episode.supports[0]), given.astype(np.uint8), ORANGE)
    small = support.resize(panel_size(support, 128))
    small.save(expected, format="JPEG", quality=75, optimize=True)
    assert shown.panels[0].jpeg == expected.getvalue()


def test_an_empty_prediction_has_no_tint(dataset: PreparedDataset) -> None:
    episode: Episode = dataset.episodes("fixed-v1", 1, 1)[5]
    height, width = dataset.size(episode.query)
    picture = draw(dataset, episode, Prediction("none", np.zeros((height, width), bool)))
    assert not (np.asarray(picture) == (0, 120, 255)).all(axis=2).any()
