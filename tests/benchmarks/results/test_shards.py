"""Shards measured apart and merged: the result of one process, or a refusal that says why."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.listener import ProgressListener
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.plan import Batch
from benchmarks.results.count_more import count_more
from benchmarks.results.journal import Journal
from benchmarks.results.merge import merge
from benchmarks.results.records import read_shard
from benchmarks.results.shards import Shard
from benchmarks.results.store import find_runs, read_result
from tests.benchmarks.engines.plans import batches as plan_of_classes
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
from tests.tiny import tiny_config, tiny_dataset

ONE_RUN = [{"name": "tiny", "shots": [1], "folds": [0]}]
TWO_RUNS = [{"name": "tiny", "shots": [1]}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    tiny_dataset(folder / "data")
    return folder


def config(root: Path, results: Path, **changes: object) -> BenchConfig:
    return tiny_config(root, **{"results_root": results, "limit": 50, **changes})


def measure(root: Path, results: Path, *shards: str, **changes: object) -> None:
    for text in shards:
        outcomes = run_matrix(
            config(root, results, **changes), listener=Quiet(), shard=Shard.parse(text)
        )
        assert {outcome.status for outcome in outcomes} == {"shard measured"}


@given(count=st.integers(1, 12), batches=st.integers(0, 40))
def test_all_parts_make_the_plan_with_nothing_twice(count: int, batches: int) -> None:
    plan = plan_of_classes([number // 5 for number in range(batches)])
    parts: list[Batch] = []
    for index in range(1, count + 1):
        parts += Shard(index, count).part(plan)
    assert parts == plan


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="is no shard; the second of eight is 2/8"):
        Shard.parse(text)


def test_the_bar_of_a_shard_ends_with_its_episodes(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []

    class Spy:
        def update(self, label: str, done: int, total: int | None) -> None:
            seen.append((done, total))

        def note(self, message: str) -> None: ...

    wanted = config(root, tmp_path, datasets=TWO_RUNS)
    run_matrix(wanted, listener=ProgressListener(Spy()), shard=Shard(1, 3))
    done, total = seen[-1]
    assert done == total and 0 < done < 100


def test_merged_shards_are_the_result_of_one_process(root: Path, tmp_path: Path) -> None:
    alone = config(root, tmp_path / "alone", save_predictions=True)
    outcomes = run_matrix(alone, listener=Quiet())
    here, there = tmp_path / "here", tmp_path / "there"
    measure(root, there, "3/3", save_predictions=True)
    measure(root, here, "2/3", "1/3", save_predictions=True)
    assert find_runs(here) == []
    shards = next(here.glob("*/*/*/*/shards"))
    for stray in ("copy of 1of3", "1of3 (2)", "4of3"):
        shutil.copytree(shards / "1of3", shards / stray)
    merged = merge(here, [there])
    assert [own.key for own in merged] == sorted(outcome.key for outcome in outcomes)
    for own in merged:
        assert areas_of(here, own.key) == areas_of(alone.results_root, own.key)
        one, other = (read_result(root, own.key) for root in (here, alone.results_root))
        assert one.queries == other.queries
        assert one.record.setup == other.record.setup
        assert one.record.miou == other.record.miou
        assert (one.record.workers, one.record.sittings) == (3, 1)
        masks = [
            {path.name: path.read_bytes() for path in (folder / "predictions").glob("*.png")}
            for folder in (own.key.folder(here), own.key.folder(alone.results_root))
        ]
        assert masks[0] == masks[1] and len(masks[0]) == 50
    assert [own.shards for own in merge(here, [there])] == [0] * len(merged)


def test_a_measured_shard_is_not_measured_again_unless_told(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "1/2")
    wanted, first = config(root, tmp_path), Shard(1, 2)
    again = run_matrix(wanted, listener=Quiet(), shard=first)
    assert {outcome.status for outcome in again} == {"already complete"}
    fresh = run_matrix(wanted, resume="fresh", listener=Quiet(), shard=first)
    assert {outcome.status for outcome in fresh} == {"shard measured"}


def test_a_broken_shard_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_matrix(config(root, tmp_path), listener=Stop(), shard=Shard(1, 2))
    measure(root, tmp_path, "2/2")
    with pytest.raises(BenchError, match=r"not measured to the end: shard 1/2; run: bench run .*"):
        merge(tmp_path)
    measure(root, tmp_path, "1/2")
    assert {own.record.sittings for own in merge(tmp_path)} == {1, 4}


def test_missing_shards_are_named_and_nothing_is_written(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "2/4", "4/4")
    with pytest.raises(BenchError, match=r"shard 1/4, 3/4; run: bench run \.\.\. --shard 1/4"):
        merge(tmp_path)
    assert find_runs(tmp_path) == []
    with pytest.raises(BenchError, match="there are no shards in"):
        merge(tmp_path / "empty")


def test_a_named_store_that_is_not_there_is_refused(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path / "a", "1/2")
    with pytest.raises(BenchError, match=r"there is no folder .*node2/results, .*node3; name"):
        merge(tmp_path / "a", [tmp_path / "node2/results", tmp_path / "node3"])


def test_shards_of_two_cuts_are_refused(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "1/2", "2/3")
    with pytest.raises(BenchError, match="was cut into 2 and into 3 shards; remove"):
        merge(tmp_path)


def test_one_shard_from_two_stores_is_refused(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path / "a", "1/2", "2/2")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(BenchError, match="shard 1/2 is there twice"):
        merge(tmp_path / "a", [tmp_path / "b"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda body: body["setup"]["model"].update(weights_digest="0"), r"model\.weights_digest"),
        (lambda body: body["setup"]["dataset"].update(digest="0"), r"dataset\.digest"),
        (lambda body: body["setup"]["episodes"].update(digest="0"), r"episodes\.digest"),
        (lambda body: body["code"].update(sources="0"), r"code\.sources"),
        (lambda body: body["code"].update(torch="1.0"), r"code\.torch"),
    ],
)
def test_shards_that_were_not_measured_alike_are_refused(
    root: Path, tmp_path: Path, change: object, named: str
) -> None:
    measure(root, tmp_path, "1/2", "2/2", datasets=ONE_RUN)
    path = next(tmp_path.rglob("2of2/shard.json"))
    body = json.loads(path.read_text())
    change(body)  # type: ignore[operator]
    path.write_text(json.dumps(body))
    with pytest.raises(BenchError, match=f"shard 1/2 was measured with {named} = .* --fresh"):
        merge(tmp_path)
    assert find_runs(tmp_path) == []


@pytest.mark.parametrize(("sizes", "larger"), [((3, 2), "1/2"), ((2, 3), "2/2")])
def test_a_shard_with_other_batches_is_measured_with_those_of_the_smaller(
    root: Path, tmp_path: Path, sizes: tuple[int, int], larger: str
) -> None:
    for shard, size in zip(("1/2", "2/2"), sizes, strict=True):
        measure(root, tmp_path, shard, datasets=ONE_RUN, batch_size=size)
    with pytest.raises(BenchError, match=f"shard {larger} again with --fresh --batch-size 2"):
        merge(tmp_path)
    wanted = config(root, tmp_path, datasets=ONE_RUN, batch_size=2)
    run_matrix(wanted, resume="fresh", listener=Quiet(), shard=Shard.parse(larger))
    assert len(merge(tmp_path)) == 1


def test_a_shard_that_another_process_measures_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "1/1", datasets=ONE_RUN)
    record = next(tmp_path.rglob("shard.json"))
    wanted = config(root, tmp_path, datasets=ONE_RUN)
    with (
        Journal(record.parent, read_shard(record).setup),
        pytest.raises(BenchError, match="another process is measuring"),
    ):
        run_matrix(wanted, resume="fresh", listener=Quiet(), shard=Shard(1, 1))
    assert len(merge(tmp_path)) == 1


class Stop(Quiet):
    def advanced(self, episodes: int) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("listener", [Quiet(), Stop()], ids=["finished", "begun"])
def test_a_run_that_is_in_the_way_is_named_and_nothing_is_written(
    root: Path, tmp_path: Path, listener: Quiet
) -> None:
    measure(root, tmp_path, "1/1", datasets=TWO_RUNS)
    fold1 = [{"name": "tiny", "shots": [1], "folds": [1]}]
    with suppress(KeyboardInterrupt):
        run_matrix(config(root, tmp_path, datasets=fold1, batch_size=2), listener=listener)
    before = find_runs(tmp_path)
    with pytest.raises(BenchError, match="fold1_1shot holds a run with batch_size = 2, the shards"):
        merge(tmp_path)
    assert find_runs(tmp_path) == before


def test_a_run_of_which_more_was_counted_since_is_in_no_way(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "1/1", datasets=ONE_RUN, save_predictions="rle")
    (merged,) = merge(tmp_path)
    count_more(tmp_path, merged.key, root / "data", ["boundary"])
    assert [own.record.setup.metrics for own in merge(tmp_path)] == [("boundary",)]


def test_a_damaged_result_is_merged_again_when_it_is_removed(root: Path, tmp_path: Path) -> None:
    measure(root, tmp_path, "1/1", datasets=ONE_RUN)
    (merged,) = merge(tmp_path)
    folder = merged.key.folder(tmp_path)
    (folder / "episodes.parquet").write_bytes(b"")
    with pytest.raises(BenchError, match=r"episodes.parquet.*; remove .*run.json to merge"):
        merge(tmp_path)
    (folder / "run.json").unlink()
    assert [own.shards for own in merge(tmp_path)] == [1]


def test_a_row_that_is_gone_is_noticed_before_anything_is_written(
    root: Path, tmp_path: Path
) -> None:
    measure(root, tmp_path, "1/1", datasets=TWO_RUNS)
    path = max(tmp_path.rglob("1of1/journal.jsonl"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(BenchError, match=r"not measured to the end: shard 1/1; run: bench run"):
        merge(tmp_path)
    assert find_runs(tmp_path) == []
    run_matrix(config(root, tmp_path, datasets=TWO_RUNS), listener=Quiet(), shard=Shard(1, 1))
    assert len(merge(tmp_path)) == 2


def test_an_episode_that_fails_keeps_its_shard_from_being_merged(
    root: Path, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    options = {"folder": str(marks), "times": 4}
    failing = [
        {"name": "colour", "model": "tests.benchmarks.engines.broken:Failing", "options": options}
    ]
    wanted = config(root, tmp_path / "r", models=failing, datasets=ONE_RUN)
    outcome = run_matrix(wanted, listener=Quiet(), shard=Shard(1, 1))[0]
    assert outcome.status == "unfinished"
    assert outcome.unfinished is not None and len(outcome.unfinished.failed) == 3
    with pytest.raises(BenchError, match="not measured to the end: shard 1/1"):
        merge(tmp_path / "r")
    assert run_matrix(wanted, listener=Quiet(), shard=Shard(1, 1))[0].status == "shard measured"
    assert len(merge(tmp_path / "r")) == 1
