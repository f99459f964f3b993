"""Masks as run lengths: nothing is lost, by whatever way a run came to its end."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from benchmarks.cli import main
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.episode_mask import kept_mask
from benchmarks.pictures import gallery
from benchmarks.pictures.gallery import draw_gallery
from benchmarks.results import kept_masks
from benchmarks.results.figures import answers
from benchmarks.results.kept_masks import line_of, mask_of, read_kept, read_masks, write_masks
from benchmarks.results.merge import merge
from benchmarks.results.shards import Shard
from benchmarks.results.store import RunKey, read_result
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import tiny_config, tiny_dataset

SIDE = st.integers(1, 9)
MASK = st.tuples(SIDE, SIDE).flatmap(lambda size: arrays(np.bool_, size))
WHERE = [{"name": "tiny", "shots": [1], "folds": [0]}]
EPISODES = 40


@settings(deadline=None)
@given(mask=MASK, number=st.integers(0, 10**6))
def test_run_lengths_lose_nothing_and_are_cocos(mask: np.ndarray, number: int) -> None:
    line = json.loads(line_of(number, mask))
    assert line["episode"] == number
    assert np.array_equal(mask_of(line), mask)
    packed = coco.frPyObjects({"size": line["size"], "counts": line["counts"]}, *mask.shape)
    assert np.array_equal(coco.decode(packed) == 1, mask)


@settings(deadline=None, max_examples=30)
@given(masks=st.lists(MASK, max_size=5))
def test_a_table_loses_nothing(masks: list, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("table") / "masks.parquet"
    write_masks(path, reversed(list(enumerate(masks))))
    rows = read_masks(path)
    assert list(rows) == list(range(len(masks)))
    assert all(np.array_equal(mask_of(rows[n]), mask) for n, mask in enumerate(masks))


@pytest.mark.parametrize(
    "line",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [-2, -2], "counts": [4]},
        {"size": [2**20, 2**20], "counts": [2**40]},
        {"size": [2, 2], "counts": ["x"]},
        {"size": [2], "counts": [2]},
        {"counts": [2]},
    ],
)
def test_run_lengths_that_make_no_mask_are_refused(line: dict) -> None:
    with pytest.raises(BenchError, match="a mask"):
        mask_of(line)


def test_what_is_no_table_of_masks_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with pytest.raises(BenchError, match=r"cannot read .*predictions\.parquet"):
        read_masks(path)
    path.write_bytes(b"PAR1 and nothing")
    with pytest.raises(BenchError, match=r"cannot read .*predictions\.parquet"):
        read_masks(path)
    pq.write_table(pa.table({"episode": [1]}), path)
    with pytest.raises(BenchError, match="does not hold the columns of predictions"):
        read_masks(path)
    mask = np.eye(3, dtype=bool)
    write_masks(path, [(4, mask), (4, mask)])
    with pytest.raises(BenchError, match="holds an episode twice"):
        read_masks(path)


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    masks = [np.eye(4, dtype=bool), np.ones((2, 5), dtype=bool)]
    lines = [line_of(number, mask) for number, mask in enumerate(masks)]
    for cut in range(len(lines[0])):
        kept_masks.forget(tmp_path)
        kept_masks.keep(tmp_path, {0: lines[0][:cut]}, "rle")  # killed while it wrote
        kept_masks.keep(tmp_path, {0: lines[0], 1: lines[1]}, "rle")
        kept_masks.finish(tmp_path)
        kept_masks.finish(tmp_path)
        assert not (tmp_path / kept_masks.LINES).exists()
        for number, mask in enumerate(masks):
            assert np.array_equal(read_kept(tmp_path, number), mask)


# --- runs ---


def config(root: Path, results: str, **changes: object) -> BenchConfig:
    given = {"limit": EPISODES, "datasets": WHERE, "save_predictions": "rle", **changes}
    return tiny_config(root, results_root=root / results, **given)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset, and one run that kept PNGs and one that kept run lengths."""
    root = tmp_path_factory.mktemp("kept")
    tiny_dataset(root / "data")
    run_matrix(config(root, "png", save_predictions=True), listener=Quiet())
    run_matrix(config(root, "rle"), listener=Quiet())
    return root


def only(store: Path) -> RunKey:
    (path,) = store.rglob("run.json")
    key = RunKey.parse(path.parent.relative_to(store).as_posix())
    assert key is not None
    return key


def same_masks(store: Path, other: Path) -> bool:
    """Whether the runs of two stores kept the same masks."""
    return all(
        np.array_equal(kept_mask(store, only(store), n), kept_mask(other, only(other), n))
        for n in range(EPISODES)
    )


def test_a_run_keeps_one_table_with_the_masks_of_the_pngs(root: Path) -> None:
    folder = only(root / "rle").folder(root / "rle")
    files = {path.name for path in folder.iterdir() if path.name != ".lock"}
    assert files == {"episodes.parquet", "run.json", "predictions.parquet"}
    assert same_masks(root / "rle", root / "png")
    with pytest.raises(BenchError, match=f"kept no mask of episode {EPISODES}"):
        kept_mask(root / "rle", only(root / "rle"), EPISODES)


def test_workers_and_shards_make_the_same_table(root: Path, tmp_path: Path) -> None:
    for text in ("2/2", "1/2"):
        run_matrix(config(root, "split"), listener=Quiet(), shard=Shard.parse(text))
    merge(root / "split")
    tables = [
        (only(root / store).folder(root / store) / "predictions.parquet").read_bytes()
        for store in ("rle", "split")
    ]
    assert tables[0] == tables[1]


class Stop(Quiet):
    """Breaks a run off after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def advanced(self, episodes: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_run_that_is_broken_off_goes_on_with_its_masks(root: Path) -> None:
    wanted = config(root, "broken")
    for batches in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            run_matrix(wanted, listener=Stop(batches))
        (lines,) = (root / "broken").rglob("predictions.jsonl")
        with lines.open("ab") as file:
            file.write(b'{"episode":7,"size":[3')
    run_matrix(wanted, listener=Quiet())
    assert same_masks(root / "broken", root / "rle")
    with pytest.raises(KeyboardInterrupt):
        run_matrix(wanted, resume="fresh", listener=Stop(3))
    run_matrix(config(root, "broken", save_predictions=False), listener=Quiet())
    assert same_masks(root / "broken", root / "rle")
    run_matrix(config(root, "broken", save_predictions=False), resume="fresh", listener=Quiet())
    assert not list((root / "broken").rglob("predictions*"))


def test_a_run_that_was_begun_without_masks_keeps_none(root: Path) -> None:
    """Those of its last episodes alone would look like all."""
    with pytest.raises(KeyboardInterrupt):
        run_matrix(config(root, "late", save_predictions=False), listener=Stop(3))
    run_matrix(config(root, "late"), listener=Quiet())
    assert not list((root / "late").rglob("predictions*"))


def test_a_fold_alone_shows_no_more_episodes_than_among_all(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "EPISODES", 2)  # of two folds
    (episodes,) = draw_gallery(root / "data", root / "rle").values()
    assert len(episodes) == 1 and "(fold 0, " in episodes[0].title


def test_pictures_are_drawn_of_either_form(root: Path, tmp_path: Path) -> None:
    drawn = [draw_gallery(root / "data", root / store) for store in ("rle", "png")]
    assert drawn[0] == drawn[1] and any(drawn[0].values())
    for store in ("rle", "png"):
        places = ("--data-root", root / "data", "--results-root", root / store)
        bench("show", "tiny", 3, "--run", "fold0_1shot", *places, "--out", tmp_path / store)
    assert (tmp_path / "rle").read_bytes() == (tmp_path / "png").read_bytes()


# --- scoring them ---


def bench(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("store", ["rle", "png"])
def test_a_new_metric_needs_no_new_run(root: Path, store: str) -> None:
    wanted = config(root, f"asked-{store}", metrics=["boundary"])
    (asked,) = run_matrix(wanted, listener=Quiet())
    run_matrix(config(root, f"plain-{store}", save_predictions=store), listener=Quiet())
    plain = root / f"plain-{store}"
    key, data = only(plain), ("--data-root", root / "data")
    before = read_result(plain, key)
    with pytest.raises(BenchError, match=r"with: bench score .*fold0_1shot --metrics boundary$"):
        run_matrix(config(root, f"plain-{store}", metrics=["boundary"]), listener=Quiet())
    said = bench("score", key.folder(plain), "--metrics", "boundary", "-q", *data)
    result, theirs = read_result(plain, key), read_result(root / f"asked-{store}", asked.key)
    assert f"boundary IoU {100 * answers(theirs)['boundary_iou']:.2f}" in said
    assert result.counts.further.keys() == theirs.counts.further.keys()
    for name, own in theirs.counts.further.items():
        assert np.array_equal(result.counts.further[name], own)
    assert np.array_equal(result.counts.areas, before.counts.areas)
    assert result.record.setup.metrics == ("boundary",)
    assert result.record.miou == before.record.miou
    # Now it is what a run that was asked is.
    again = run_matrix(config(root, f"plain-{store}", metrics=["boundary"]), listener=Quiet())
    assert [outcome.status for outcome in again] == ["already complete"]


def test_masks_of_another_result_are_not_counted(root: Path) -> None:
    run_matrix(config(root, "forged"), listener=Quiet())
    store = root / "forged"
    folder = only(store).folder(store)
    write_masks(
        folder / "predictions.parquet",
        ((n, ~kept_mask(root / "rle", only(root / "rle"), n)) for n in range(EPISODES)),
    )
    args = ("score", folder, "--metrics", "boundary", "-q", "--data-root", root / "data")
    assert "the mask of episode 0 does not make its counts" in bench(*args, code=2)
    write_masks(folder / "predictions.parquet", [])
    assert "kept no mask of episode 0" in bench(*args, code=2)
    assert read_result(store, only(store)).record.setup.metrics == ()
    nowhere = ("score", root / "data", "--metrics", "boundary", "-q")
    assert "holds no masks of a finished run" in bench(*nowhere, code=2)


def test_a_table_scores_as_its_run(root: Path) -> None:
    place = [{"name": "tiny", "shots": [1], "folds": [0], "protocol": "hsnet"}]
    (own,) = run_matrix(config(root, "whole", datasets=place, limit=None), listener=Quiet())
    table = own.key.folder(root / "whole") / "predictions.parquet"
    list_ = ("--dataset", "tiny", "--protocol", "hsnet", "--fold", 0, "--shots", 1)
    places = ("--data-root", root / "data", "--results-root", root / "scored")
    bench("score", table, *list_, "--name", "mine", "--metrics", "boundary", "-q", *places)
    ours = read_result(root / "scored", only(root / "scored"))
    theirs = read_result(root / "whole", own.key)
    assert np.array_equal(ours.counts.areas, theirs.counts.areas)
    assert ours.counts.further["boundary_union"].any()
    masks = {number: mask_of(line) for number, line in read_masks(table).items()}
    bad = root / "bad.parquet"
    write_masks(bad, [(1, masks[1][1:]), *list(masks.items())[2:], (9999, masks[0])])
    said = bench("score", bad, *list_, "--name", "bad", "-q", *places, code=2)
    assert "nothing was scored" in said
    assert "episode 0 is missing" in said and "9999 is no episode" in said
    assert "episode 1 is 400×399, the query" in said
    missing = ("score", table, "--dataset", "tiny", "--name", "mine")
    assert "Missing option --fold, --shots" in bench(*missing, code=2)
