"""Results in the repository: two files that belong together, checked in every way they can lie."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchError
from benchmarks.results.agreement import without_paths
from benchmarks.results.store import Result, RunKey, read_result
from leaderboards.committed.collect import Places, collect
from leaderboards.committed.curate import add, check
from leaderboards.committed.files import (
    committed_json,
    find_committed,
    read_committed,
    write_committed,
)
from leaderboards.committed.history import unexplained
from tests.leaderboards.synthetic import write_model, write_run

KEY = RunKey("toy", "fixed-v1", "alpha", 0, 1)


def results(root: Path, name: str = "alpha", **changes: object) -> list[Result]:
    return [read_result(root, key) for key in write_model(root, name, **changes)]


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """Two models at one shot."""
    root = tmp_path / "boards" / "results"
    for name in ("alpha", "beta"):
        add(results(tmp_path / "store", name, skill=len(name) / 10), root)
    return root


def edit(root: Path, change: object, key: RunKey = KEY) -> None:
    path = committed_json(root, key)
    record = json.loads(path.read_text())
    change(record)  # type: ignore[operator]
    path.write_text(json.dumps(record))


def set_counts(root: Path, column: str, change: object) -> None:
    path = committed_json(root, KEY).with_suffix(".parquet")
    table = pq.read_table(path)
    values = pa.array(change(table.column(column).to_pylist()), pa.int64())  # type: ignore[operator]
    pq.write_table(table.set_column(table.column_names.index(column), column, values), path)


# Round trip


def test_a_committed_result_reads_back_as_it_was_measured(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path))
    path, table = write_committed(tmp_path / "c", result)
    again = read_committed(tmp_path / "c", result.key)
    assert (again.key, again.record, again.queries) == (result.key, result.record, result.queries)
    assert again.counts.areas.tolist() == result.counts.areas.tolist()
    assert again.counts.class_id.tolist() == result.counts.class_id.tolist()
    assert again.milliseconds is None
    assert path == tmp_path / "c" / "toy" / "fixed-v1" / "alpha" / "fold0_1shot.json"
    before = path.read_bytes(), table.read_bytes()
    write_committed(tmp_path / "c", result)
    assert (path.read_bytes(), table.read_bytes()) == before


def test_a_thousand_episodes_take_little_space(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path, count=1000))
    path, table = write_committed(tmp_path / "c", result)
    assert path.stat().st_size < 4_000
    assert table.stat().st_size < 12_000


def test_no_path_of_the_machine_is_committed(tmp_path: Path) -> None:
    config = {
        "weights": "/home/someone/weights/best.pt",
        "folders": ["C:\\Users\\someone\\data", "~/cache"],
        "nested": {"unet": "/mnt/disk/unet"},
        "hub": "facebook/dinov2-base",
        "size": 400,
    }
    result = read_result(tmp_path, write_run(tmp_path, config=config))
    path, _ = write_committed(tmp_path / "c", result)
    assert "someone" not in path.read_text() and "/mnt" not in path.read_text()
    assert without_paths(config) == {
        "weights": "best.pt",
        "folders": ["data", "cache"],
        "nested": {"unet": "unet"},
        "hub": "facebook/dinov2-base",
        "size": 400,
    }


# Refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record["run"].update(miou=0.99), "its miou says 0.990000"),
        (lambda record: record["run"].update(miou=float("nan")), "its miou says nan"),
        (lambda record: record["run"].update(miou=None), "run.miou"),
        (lambda record: record["class_counts"].update({"0": [1, 2, 3, 4]}), "class counts"),
        (lambda record: record["class_counts"].update({"0": [1, 2, 3, -4]}), "class_counts.0"),
        (lambda record: record["class_counts"].pop("0"), "class counts"),
        (lambda record: record.update(counts_digest="0" * 64), "not the table that"),
        (lambda record: record.update(schema_version=2), "schema_version"),
        (lambda record: record.update(note="trust me"), "note"),
        (lambda record: record["run"]["setup"].update(fold=1), "another run"),
        (
            lambda record: record["run"]["setup"]["episodes"].update(digest="f" * 64),
            "measured on episode list ffffffffffffffff, the board's is 01eeeeeeeeeeeeee",
        ),
        (
            lambda record: record["run"]["setup"]["dataset"].update(digest="f" * 64),
            "measured on dataset ffffffffffffffff, the board's is dddddddddddddddd",
        ),
    ],
)
def test_a_tampered_json_is_refused(committed: Path, change: object, said: str) -> None:
    assert check(committed) == check(committed)
    assert check(committed).problems == ()
    write_model(committed.parents[1] / "store", "gamma")
    add(
        [read_result(committed.parents[1] / "store", RunKey("toy", "fixed-v1", "gamma", f, 1))
         for f in range(4)],
        committed,
    )  # fmt: skip
    edit(committed, change)
    problems = check(committed).problems
    assert any(line.startswith(f"{KEY}: ") and said in line for line in problems), problems
    assert check(committed).sound == 11


def test_a_torn_json_is_refused(committed: Path) -> None:
    path = committed_json(committed, KEY)
    path.write_bytes(path.read_bytes()[:-30])
    assert "is not a result: text" in check(committed).problems[0]


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("fg_union", lambda pixels: [pixels[0] + 1, *pixels[1:]], "not the table that"),
        ("fg_union", lambda pixels: [*pixels[:-1], pixels[-1] - 9_999], "below 0"),
        ("class_id", lambda classes: [7, *classes[1:]], "classes that its record does not name"),
    ],
)
def test_tampered_counts_are_refused(
    committed: Path, column: str, change: object, said: str
) -> None:
    set_counts(committed, column, change)
    assert said in check(committed).problems[0]


def test_counts_that_exceed_the_image_are_refused_even_with_a_fitting_digest(
    tmp_path: Path,
) -> None:
    result = read_result(tmp_path, write_run(tmp_path, protocol="hsnet"))
    result.counts.areas[3] += [0, 0, 400 * 400, 400 * 400]
    write_committed(tmp_path / "c", result)
    assert "of episode 3 fit no image" in check(tmp_path / "c").problems[0]
    with pytest.raises(BenchError, match="of episode 3 fit no image"):
        add([result], tmp_path / "c")


def test_a_table_of_another_run_is_refused(committed: Path) -> None:
    other = RunKey("toy", "fixed-v1", "beta", 0, 1)
    stolen = committed_json(committed, other).with_suffix(".parquet").read_bytes()
    committed_json(committed, KEY).with_suffix(".parquet").write_bytes(stolen)
    assert "is not the table that fold0_1shot.json names" in check(committed).problems[0]


def test_half_a_result_is_refused(committed: Path) -> None:
    committed_json(committed, KEY).unlink()
    committed_json(committed, RunKey("toy", "fixed-v1", "beta", 1, 1)).with_suffix(
        ".parquet"
    ).unlink()
    text = "\n".join(check(committed).problems)
    assert "toy/fixed-v1/beta/fold1_1shot: cannot read" in text
    assert "fold0_1shot.parquet: belongs to no result" in text
    assert "toy/fixed-v1/alpha, 1-shot, lacks fold 0 of 4" in text


def test_folds_of_other_options_are_not_committed(tmp_path: Path) -> None:
    found = results(tmp_path)
    key = write_run(tmp_path, fold=1, config={"backbone": "large"})
    said = r"alpha, 1-shot, was measured with backbone = 'tiny' on fold 0, 'large' on fold 1"
    with pytest.raises(BenchError, match=f"{said}; measure them alike"):
        add([found[0], read_result(tmp_path, key), *found[2:]], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_missing_folds_are_not_committed(tmp_path: Path) -> None:
    found = results(tmp_path)
    with pytest.raises(BenchError, match=r"lacks fold 1, 3 of 4; run the other folds first"):
        add([found[0], found[2]], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_model_trained_for_one_fold_lacks_no_other(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "c"
    alone = read_result(store, write_run(store, fold=1, trained_fold=1))
    assert len(add([alone], root)) == 2
    assert check(root).problems == ()
    seen = read_result(store, write_run(store, fold=2, trained_fold=1))
    with pytest.raises(BenchError, match=r"base classes of fold 1, which are novel .* of fold 2"):
        add([seen], root)


def test_cut_lists_are_not_committed(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="only the first 10 episodes were run"):
        add(results(tmp_path, count=10, limit=10), tmp_path / "c")


def test_a_result_on_other_data_is_not_added_to_committed_ones(committed: Path) -> None:
    store = committed.parents[1] / "other"
    with pytest.raises(
        BenchError, match=r"gamma/fold0_1shot would not fit .* on dataset ffff.*dddd"
    ):
        add(results(store, "gamma", digest="f" * 64), committed)
    assert not (committed / "toy" / "fixed-v1" / "gamma").exists()


# What became of results


@pytest.fixture
def boards(committed: Path) -> Path:
    """The committed results in a repository."""
    boards = committed.parent
    git(boards, "init", "-q", "-b", "main")
    commit(boards)
    return boards


def git(boards: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", boards, *identity, *arguments], check=True)


def commit(boards: Path) -> None:
    git(boards, "add", "-A")
    git(boards, "commit", "-q", "-m", "results")


def test_nothing_changed_needs_no_word(boards: Path) -> None:
    assert list(unexplained(boards, "HEAD")) == []


def vanish(boards: Path) -> None:
    path = committed_json(boards / "results", KEY)
    path.unlink()
    path.with_suffix(".parquet").unlink()


def test_a_result_that_vanished_is_named_until_a_line_explains_it(boards: Path) -> None:
    vanish(boards)
    commit(boards)
    assert list(unexplained(boards, "HEAD")) == []
    assert list(unexplained(boards, "HEAD~1")) == [(KEY, "is in HEAD~1 and is gone now")]
    (boards / "CHANGES.md").write_text("- another/fixed-v1/alpha: gone\n")
    assert len(list(unexplained(boards, "HEAD~1"))) == 1
    (boards / "CHANGES.md").write_text("- `toy/fixed-v1/alpha`: measured on a wrong mask\n")
    assert list(unexplained(boards, "HEAD~1")) == []


def test_a_repository_in_the_environment_hides_nothing(
    boards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "another")
    vanish(boards)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another/.git"))
    assert len(list(unexplained(boards, "HEAD"))) == 1


def test_an_old_line_does_not_explain_a_new_change(boards: Path) -> None:
    (boards / "CHANGES.md").write_text("- toy/fixed-v1/alpha: an earlier change\n")
    commit(boards)
    vanish(boards)
    assert len(list(unexplained(boards, "HEAD"))) == 1


def test_a_result_that_moved_is_named_with_both_figures(boards: Path, tmp_path: Path) -> None:
    add(results(tmp_path / "again", skill=0.9), boards / "results")
    found = dict(unexplained(boards, "HEAD"))
    assert len(found) == 4
    assert found[KEY].startswith("had mIoU 41.") and " in HEAD and has 7" in found[KEY]
    (boards / "CHANGES.md").write_text(f"- {KEY}: better weights\n")
    assert KEY not in dict(unexplained(boards, "HEAD"))


def test_a_new_date_is_no_change(boards: Path, tmp_path: Path) -> None:
    again = results(tmp_path / "again", skill=0.5, record={"started": "2027-01-01T00:00:00"})
    add(again, boards / "results")
    assert list(unexplained(boards, "HEAD")) == []


def test_what_is_said_of_the_model_cannot_change_without_a_word(boards: Path) -> None:
    edit(boards / "results", lambda record: model_of(record).update(sees_test_classes="partly"))
    said = "had sees_test_classes 'no' in HEAD and has 'partly' now"
    assert list(unexplained(boards, "HEAD")) == [(KEY, said)]
    (boards / "CHANGES.md").write_text("- toy/fixed-v1/alpha: its training set is known now\n")
    assert list(unexplained(boards, "HEAD")) == []


def test_a_new_field_with_its_default_is_no_change(boards: Path) -> None:
    edit(boards / "results", lambda record: model_of(record).pop("text_prompts"))
    commit(boards)
    edit(boards / "results", lambda record: model_of(record).update(text_prompts=False))
    assert list(unexplained(boards, "HEAD")) == []


def model_of(record: dict[str, Any]) -> dict[str, Any]:
    return record["run"]["setup"]["model"]


def test_an_unknown_commit_is_named(boards: Path) -> None:
    with pytest.raises(BenchError, match="with nonsense: "):
        list(unexplained(boards, "nonsense"))


# On the board


def test_committed_results_are_on_the_board_and_later_ones_take_their_place(
    committed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "local"
    assert len(collect(Places(store, committed)).results) == 8 == len(find_committed(committed))
    write_run(store, skill=0.9, record={"started": "2026-12-01T00:00:00"})
    write_run(store, name="beta", skill=0.9, record={"started": "2026-01-01T00:00:00"})
    write_run(store, name="gamma")
    found = {result.key: result for result in collect(Places(store, committed)).results}
    assert len(found) == 9
    assert found[KEY].record.started == "2026-12-01T00:00:00"
    assert found[RunKey("toy", "fixed-v1", "beta", 0, 1)].record.started.startswith("2026-11")


def test_committed_results_say_which_data_are_the_right_ones(
    committed: Path, tmp_path: Path
) -> None:
    """However many models were measured here on other data."""
    other = {"digest": "f" * 64}
    for name in ("gamma", "delta", "zeta"):
        write_model(tmp_path / "store", name, **other)
    write_model(
        tmp_path / "store", "alpha", record={"started": "2026-12-01T00:00:00+00:00"}, **other
    )
    found = collect(Places(tmp_path / "store", committed))
    assert {result.key.model for result in found.results} == {"beta"}
    assert {out.key.model for out in found.left_out} == {"alpha", "gamma", "delta", "zeta"}
    said = "measured on dataset ffffffffffffffff, the board's is dddddddddddddddd; measure it again"
    assert {out.reason for out in found.left_out} == {said}


def test_a_tampered_committed_result_is_left_out_of_the_board(committed: Path) -> None:
    edit(committed, lambda record: record["run"].update(fb_iou=0.99))
    found = collect(Places(committed / "none", committed))
    assert len(found.results) == 7
    assert [(out.key, out.reason[:20]) for out in found.left_out] == [(KEY, "its fb_iou says 0.99")]
