"""Masks of outside programs: scored as a model's own, or refused by name."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cli import main
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import EpisodeCounts, fb_iou, miou
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results.count_more import count_more
from benchmarks.results.figures import answers
from benchmarks.results.kept_masks import file_name, write_masks
from benchmarks.results.mask_values import Reading
from benchmarks.results.outside_masks import Predictions, score
from benchmarks.results.store import RunKey, find_runs, read_result
from datasets_prep.prepared.dataset import PreparedDataset
from tests.tiny import tiny_config, tiny_dataset


class Quiet:
    def matrix_started(self, runs: int, episodes: int) -> None: ...
    def run_started(self, key: RunKey, total: int, done: int) -> None: ...
    def advanced(self, episodes: int) -> None: ...
    def run_finished(self, outcome: object) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset and a run of the colour model on it, masks kept."""
    root = tmp_path_factory.mktemp("measured")
    tiny_dataset(root / "data")
    config = tiny_config(
        root,
        datasets=[
            {"name": "tiny", "folds": [0], "shots": [1], "protocol": protocol}
            for protocol in ("fixed-v1", "hsnet")
        ],
        save_predictions=True,
    )
    run_matrix(config, listener=Quiet())
    return root


@pytest.fixture
def masks(measured: Path, tmp_path: Path) -> Path:
    kept = measured / "results/tiny/fixed-v1/colour/fold0_1shot/predictions"
    return Path(shutil.copytree(kept, tmp_path / "masks"))


def answer(measured: Path, folder: Path, protocol: str = "fixed-v1") -> Predictions:
    dataset = PreparedDataset(measured / "data", "tiny")
    return Predictions(folder, dataset, get_protocol(protocol), 0, 1, "outside")


def refusal(predictions: Predictions, results: Path) -> str:
    with pytest.raises(BenchError) as caught:
        score(predictions, results)
    assert not list(results.rglob("*.parquet"))
    return str(caught.value)


def test_masks_of_a_run_score_as_the_run(measured: Path, masks: Path, tmp_path: Path) -> None:
    record = score(answer(measured, masks), tmp_path)
    ours = read_result(tmp_path, RunKey("tiny", "fixed-v1", "outside", 0, 1))
    theirs = read_result(measured / "results", RunKey("tiny", "fixed-v1", "colour", 0, 1))
    assert np.array_equal(ours.counts.areas, theirs.counts.areas)
    assert ours.queries == theirs.queries
    assert (record.miou, record.fb_iou) == (theirs.record.miou, theirs.record.fb_iou)
    assert record.setup.model.kind == "predictions"
    assert record.setup.episodes == theirs.record.setup.episodes


def test_borders_of_masks_are_counted_as_of_a_run(measured: Path, tmp_path: Path) -> None:
    kept = measured / "results/tiny/hsnet/colour/fold0_1shot/predictions"
    asked = {"results_root": tmp_path, "metrics": ["boundary"], "limit": None}
    places = [{"name": "tiny", "folds": [0], "shots": [1], "protocol": "hsnet"}]
    (outcome,) = run_matrix(tiny_config(measured, datasets=places, **asked), listener=Quiet())
    score(replace(answer(measured, kept, "hsnet"), metrics=("boundary",)), tmp_path)
    theirs = read_result(tmp_path, outcome.key).counts.further
    ours = read_result(tmp_path, replace(outcome.key, model="outside")).counts.further
    assert ours.keys() == theirs.keys() == {"boundary_intersection", "boundary_union"}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_masks_on_the_protocols_grid_score_as_the_run(measured: Path, tmp_path: Path) -> None:
    kept = measured / "results/tiny/hsnet/colour/fold0_1shot/predictions"
    record = score(answer(measured, kept, "hsnet"), tmp_path)
    theirs = read_result(measured / "results", RunKey("tiny", "hsnet", "colour", 0, 1))
    assert (record.miou, record.fb_iou) == (theirs.record.miou, theirs.record.fb_iou)


def test_masks_of_the_original_size_are_brought_to_the_grid(measured: Path, tmp_path: Path) -> None:
    """The ground truth itself scores 1 at its own size under a protocol with another grid."""
    folder = tmp_path / "truth"
    folder.mkdir()
    predictions = replace(answer(measured, folder, "hsnet"), metrics=("boundary",))
    dataset = predictions.dataset
    for episode in dataset.episodes("hsnet", 0, 1):
        mask = dataset.mask(episode.query, episode.class_index) == 1
        Image.fromarray(mask).save(folder / file_name(episode.index))  # mode 1
    record = score(predictions, tmp_path / "results")
    assert (record.miou, record.fb_iou) == (1.0, 1.0)
    assert answers(read_result(tmp_path / "results", predictions.key)) == {"boundary_iou": 1.0}
    shutil.rmtree(folder)  # the result has kept them, on the grid
    more = count_more(tmp_path / "results", predictions.key, measured / "data", ["boundary"])
    assert answers(more) == {"boundary_iou": 1.0}


def test_any_value_but_zero_is_foreground(measured: Path, masks: Path, tmp_path: Path) -> None:
    before = score(answer(measured, masks), tmp_path / "a")
    for path in masks.iterdir():
        ones = (np.asarray(Image.open(path)) > 0).astype(np.uint8) * 3
        Image.fromarray(ones).save(path)
    after = score(answer(measured, masks), tmp_path / "b")
    assert after.miou == before.miou
    assert after.setup.model.config != before.setup.model.config  # other files, other digest


def changed(masks: Path, change: Callable[[NDArray[np.uint8]], Image.Image]) -> None:
    """Rewrite every mask, given as 0 and 1."""
    for path in masks.iterdir():
        change(np.uint8(np.asarray(Image.open(path)) > 0)).save(path)


def painted(*colours: int) -> Callable[[NDArray[np.uint8]], Image.Image]:
    """Indices are the mask; index i is the grey `colours[i]`."""

    def change(mask: NDArray[np.uint8]) -> Image.Image:
        image = Image.fromarray(mask, mode="P")
        image.putpalette([value for grey in colours for value in (grey, grey, grey)])
        return image

    return change


READINGS: dict[str, tuple[Callable[[NDArray[np.uint8]], Image.Image], Reading]] = {
    "soft": (
        lambda mask: Image.fromarray(np.where(mask == 1, 128, 127).astype(np.uint8)),
        Reading(threshold=128),
    ),
    "16 bits": (
        lambda mask: Image.fromarray(np.where(mask == 1, 40_000, 300).astype(np.uint16)),
        Reading(threshold=32_768),
    ),
    "one bit": (lambda mask: Image.fromarray(mask == 1), Reading(threshold=255)),
    "white first": (lambda mask: painted(255, 0)(1 - mask), Reading(palette="colour")),
    "by index": (painted(255, 0), Reading(palette="index")),
    "both agree": (painted(0, 200), Reading()),
    "soft colours": (lambda mask: painted(10, 200)(mask), Reading(128, "colour")),
}


@pytest.mark.parametrize(("change", "reading"), READINGS.values(), ids=READINGS)
def test_what_is_said_of_the_values_is_read_and_recorded(
    measured: Path,
    masks: Path,
    tmp_path: Path,
    change: Callable[[NDArray[np.uint8]], Image.Image],
    reading: Reading,
) -> None:
    before = score(answer(measured, masks), tmp_path / "a")
    changed(masks, change)
    after = score(replace(answer(measured, masks), reading=reading), tmp_path / "c")
    assert after.class_iou == before.class_iou
    config = dict(after.setup.model.config)
    assert config.pop("predictions_sha256") != before.setup.model.config["predictions_sha256"]
    assert config == reading.as_config()


def test_values_that_are_no_mask_are_named(measured: Path, masks: Path, tmp_path: Path) -> None:
    path = masks / "000005.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, :3] = 7
    Image.fromarray(pixels).save(path)
    message = refusal(answer(measured, masks), tmp_path / "results")
    assert "these hold 2 beside 0: 7 (000005.png), 255 (000" in message
    assert "--threshold N" in message


def test_two_files_of_one_episode_are_named(measured: Path, masks: Path, tmp_path: Path) -> None:
    shutil.copy(masks / "000005.png", masks / "000005.PNG")
    if len(list(masks.glob("000005.*"))) == 1:
        pytest.skip("this file system knows no capitals")
    message = refusal(answer(measured, masks), tmp_path / "results")
    assert "000005.PNG and 000005.png are of one episode" in message


def test_counts_are_those_of_a_plain_loop(measured: Path, masks: Path, tmp_path: Path) -> None:
    predictions = answer(measured, masks)
    record = score(predictions, tmp_path)
    rows, classes = [], []
    for episode in predictions.dataset.episodes("fixed-v1", 0, 1):
        mask = np.asarray(Image.open(masks / f"{episode.index:06d}.png")) != 0
        truth = predictions.dataset.mask(episode.query, episode.class_index)
        fg, ok = truth == 1, truth != 255
        rows.append([(mask & fg).sum(), ((mask | fg) & ok).sum(),
                     (~mask & ~fg & ok).sum(), ((~mask | ~fg) & ok).sum()])  # fmt: skip
        classes.append(episode.class_index)
    counts = EpisodeCounts(np.arange(len(rows)), np.array(classes), np.array(rows))
    assert record.miou == miou(counts, [0, 1], "left out")
    assert record.fb_iou == fb_iou(counts)


def test_missing_and_extra_files_are_named(measured: Path, masks: Path, tmp_path: Path) -> None:
    (masks / "000007.png").unlink()
    (masks / "000003.png").rename(masks / "3.png")
    message = refusal(answer(measured, masks), tmp_path / "results")
    for said in ("000003.png is missing", "000007.png is missing", "3.png belongs to no episode"):
        assert said in message
    assert "nothing was scored" in message


def test_wrong_size_mode_and_damage_are_named(measured: Path, masks: Path, tmp_path: Path) -> None:
    width, height = Image.open(masks / "000001.png").size
    Image.new("L", (width + 1, height)).save(masks / "000001.png")
    Image.new("RGB", Image.open(masks / "000002.png").size).save(masks / "000002.png")
    (masks / "000004.png").write_bytes((masks / "000004.png").read_bytes()[:40])
    message = refusal(answer(measured, masks), tmp_path / "results")
    assert f"000001.png is {width + 1}×{height}, the query" in message
    assert f"is {width}×{height}" in message
    assert "000002.png has mode RGB, not a single channel" in message
    assert "000004.png cannot be read" in message


def test_many_problems_are_counted(measured: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = refusal(answer(measured, tmp_path / "empty"), tmp_path / "results")
    assert message.count("is missing") == 10 and message.endswith("and 990 more")


def test_run_lengths_are_checked_before_an_earlier_result_is_lost(
    measured: Path, tmp_path: Path
) -> None:
    dataset = PreparedDataset(measured / "data", "tiny")
    every = dataset.episodes("fixed-v1", 0, 1)
    table = tmp_path / "masks.parquet"
    write_masks(table, ((e.index, dataset.mask(e.query, e.class_index) == 1) for e in every))
    score(answer(measured, table), tmp_path / "results")
    whole = pq.read_table(table)
    rows = whole.to_pylist()
    rows[-1]["counts"] = [5]
    pq.write_table(pa.Table.from_pylist(rows, schema=whole.schema), table)
    with pytest.raises(BenchError, match="nothing was scored:\n  episode 999: the run lengths"):
        score(answer(measured, table), tmp_path / "results")
    (key,) = find_runs(tmp_path / "results")
    assert read_result(tmp_path / "results", key).record.miou == 1.0


def test_masks_of_several_classes_may_not_overlap(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "data", images=32, shots=(1,))
    protocol = get_protocol("nway2-v1")
    every = dataset.episodes(protocol.recipe, 0, 1)
    truths = [dataset.mask(own.query, own.class_index) == 1 for own in every]
    table = tmp_path / "masks.parquet"
    outside = Predictions(table, dataset, protocol, 0, 1, "outside")

    def written(masks: Iterable[NDArray[np.bool_]]) -> Predictions:
        write_masks(table, ((own.index, mask) for own, mask in zip(every, masks, strict=True)))
        return outside

    assert score(written(truths), tmp_path / "results").miou == 1.0
    greedy = [np.ones_like(truth) if n < 2 else truth for n, truth in enumerate(truths)]
    message = refusal(written(greedy), tmp_path / "elsewhere")
    assert message.endswith(
        f"episodes 0 to 1 ask for 2 classes of {every[0].query}, and their masks share "
        f"{truths[0].size} pixels"
    )


def test_a_measured_result_is_never_overwritten(measured: Path, masks: Path) -> None:
    dataset = PreparedDataset(measured / "data", "tiny")
    taken = Predictions(masks, dataset, get_protocol("fixed-v1"), 0, 1, "colour")
    with pytest.raises(BenchError, match="choose another --name"):
        score(taken, measured / "results")


def test_masks_that_the_result_would_take_the_place_of_are_refused(
    measured: Path, masks: Path, tmp_path: Path
) -> None:
    folder = answer(measured, masks).key.folder(tmp_path)
    mine = Path(shutil.copytree(masks, folder / "predictions"))
    for place in (mine, folder / "elsewhere/../predictions"):
        with pytest.raises(BenchError, match=r"lies where the result goes.*choose another --name"):
            score(answer(measured, place), tmp_path)
    assert len(list(mine.iterdir())) == 1000
    score(replace(answer(measured, mine), name="other"), tmp_path)


def test_the_command(measured: Path, masks: Path, tmp_path: Path) -> None:
    args = ["score", str(masks), "--dataset", "tiny", "--fold", "0", "--shots", "1",
            "--data-root", str(measured / "data"), "--results-root", str(tmp_path)]  # fmt: skip
    done = CliRunner().invoke(main, [*args, "--name", "mine", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["run"] == "tiny/fixed-v1/mine/fold0_1shot"
    assert json.loads(done.stdout)["setup"]["model"]["sees_test_classes"] == "unknown"
    strict = CliRunner().invoke(main, [*args, "--name", "s", "--sees-test-classes", "no", "--json"])
    assert json.loads(strict.stdout)["setup"]["model"]["sees_test_classes"] == "no"
    again = CliRunner().invoke(main, [*args, "--name", "mine"])
    assert again.exit_code == 0 and "mIoU" in again.stdout
    for args_, said in ((["--name", "../x"], "cannot name a result"), ([], "Missing option")):
        wrong = CliRunner().invoke(main, [*args, *args_])
        assert wrong.exit_code == 2 and said in wrong.stderr
