"""Only sound results of one and the same measurement come onto a board; the others are named."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchError
from benchmarks.results.journal import Journal
from benchmarks.results.store import RunKey, read_result
from leaderboards.committed.collect import Places, agreeing, collect, episodes_digest
from leaderboards.committed.verify import check_result
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import make_rows, make_setup, write_model, write_run

KEY = RunKey("toy", "fixed-v1", "alpha", 0, 1)


def reasons(root: Path) -> dict[str, str]:
    return {str(out.key): out.reason for out in collect(Places(root, root / "none")).left_out}


def kept(root: Path) -> list[str]:
    return sorted({result.key.model for result in collect(Places(root, root / "none")).results})


def test_sound_results_are_kept(tmp_path: Path) -> None:
    keys = write_model(tmp_path, "alpha") + write_model(tmp_path, "beta", protocol="hsnet")
    found = collect(Places(tmp_path, tmp_path / "none"))
    assert [result.key for result in found.results] == sorted(keys)
    assert found.left_out == ()


def test_a_name_is_looked_for_where_committed_results_are(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha")
    with pytest.raises(BenchError, match=r"are: alpha; there are no committed .*, see --boards"):
        Places(tmp_path, tmp_path / "none").named(["omega"])
    (tmp_path / "none").mkdir()
    with pytest.raises(BenchError, match=r"there are: alpha$"):
        Places(tmp_path, tmp_path / "none").named(["omega"])


@pytest.mark.parametrize("protocol", ["fixed-v1", "hsnet", "bam"])
def test_the_figures_of_every_protocol_can_be_recomputed(tmp_path: Path, protocol: str) -> None:
    # Class 2 is never drawn, and in the first of BAM's runs class 1 is not either.
    classes = {0: "disc", 1: "ring", 2: "star"}
    write_run(tmp_path, protocol=protocol, classes=classes)
    assert collect(Places(tmp_path, tmp_path / "none")).left_out == ()


@pytest.mark.parametrize("limit", [None, 10])
def test_a_list_that_was_cut_is_one_run(tmp_path: Path, limit: int | None) -> None:
    write_run(tmp_path, protocol="bam", count=limit or 40, limit=limit)
    (found,) = collect(Places(tmp_path, tmp_path / "none")).results
    assert found.record.setup.protocol.runs == (5 if limit is None else 1)


def test_what_is_unfinished_is_said_with_its_mend(tmp_path: Path) -> None:
    for name, kind in (("alpha", "model"), ("mine", "predictions")):
        setup = make_setup(name=name, kind=kind)
        with Journal(RunKey("toy", "fixed-v1", name, 0, 1).folder(tmp_path), setup) as journal:
            journal.append(make_rows(setup)[:3], 1.0)
    said = [out.reason for out in collect(Places(tmp_path, tmp_path / "none")).left_out]
    begun = "unfinished: 3 of 40 episodes are measured; "
    assert said == [
        begun + "bench run goes on with it",
        begun + "score the masks again with bench score",
    ]


@pytest.mark.parametrize("models", [("beta", "gamma"), ("gamma", "beta")])
def test_the_digest_that_more_models_have_is_the_boards(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    write_model(tmp_path, "alpha", digest="f" * 64)
    for shots in (1, 5):
        write_model(tmp_path, "alpha", digest="f" * 64, shots=shots)
    for name in models:
        write_run(tmp_path, name=name)
    assert kept(tmp_path) == ["beta", "gamma"]
    reason = reasons(tmp_path)["toy/fixed-v1/alpha/fold0_1shot"]
    assert "dataset ffffffffffffffff" in reason
    assert "dddddddddddddddd" in reason
    assert len(collect(Places(tmp_path, tmp_path / "none")).left_out) == 8


def test_of_two_equally_common_digests_the_later_is_the_boards(tmp_path: Path) -> None:
    write_run(tmp_path, name="old", digest="1" * 64)
    write_run(tmp_path, name="new", digest="2" * 64, record={"started": "2026-11-03T00:00:00"})
    assert kept(tmp_path) == ["new"]


def test_an_episode_list_counts_for_its_own_fold_and_shots_only(tmp_path: Path) -> None:
    for name in ("beta", "gamma"):
        write_model(tmp_path, name)
    write_run(tmp_path, fold=0, episodes="f" * 64)
    write_run(tmp_path, fold=1)
    write_run(tmp_path, fold=0, shots=5, episodes="f" * 64)
    found = reasons(tmp_path)
    assert list(found) == ["toy/fixed-v1/alpha/fold0_1shot"]
    reason = found["toy/fixed-v1/alpha/fold0_1shot"]
    assert "episode list ffffffffffffffff" in reason
    assert "01eeeeeeeeeeeeee" in reason


def test_a_cut_list_shares_the_digest_of_the_whole_one(tmp_path: Path) -> None:
    write_run(tmp_path, name="alpha")
    write_run(tmp_path, name="beta", count=10, limit=10)
    assert kept(tmp_path) == ["alpha", "beta"]


def rewrite(root: Path, column: str, change: object) -> None:
    path = KEY.folder(root) / "episodes.parquet"
    table = pq.read_table(path)
    index = table.column_names.index(column)
    values = pa.array(change(table.column(column).to_pylist()), table.schema.field(column).type)  # type: ignore[operator]
    pq.write_table(table.set_column(index, column, values), path)


def edit(root: Path, change: object) -> None:
    path = KEY.folder(root) / "run.json"
    record = json.loads(path.read_text())
    change(record)  # type: ignore[operator]
    path.write_text(json.dumps(record))


def test_queries_that_the_other_models_did_not_get_are_found(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        write_run(tmp_path, name=name)
    rewrite(tmp_path, "query", lambda names: ["img_9999", *names[1:]])
    found = reasons(tmp_path)
    assert list(found) == [str(KEY)]
    assert "queries, classes and pixels" in found[str(KEY)]


def test_scored_pixels_are_the_same_for_every_model(tmp_path: Path) -> None:
    write_run(tmp_path, name="alpha", skill=0.2)
    write_run(tmp_path, name="beta", skill=0.9, seed=4)
    first, second = collect(Places(tmp_path, tmp_path / "none")).results
    assert episodes_digest(first) == episodes_digest(second)
    assert agreeing([first, second]) == ([first, second], [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.update(miou=0.99), "its miou says 0.990000, its episodes make 0.4"),
        (lambda record: record.update(fb_iou=0.99), "its fb_iou says 0.990000"),
        (lambda record: record["class_iou"].update({"1": 0.99}), "its class_iou of 'ring' says"),
        (lambda record: record["class_iou"].pop("1"), "its class_iou of 'ring' says nan"),
        (lambda record: record.update(miou=None), "miou"),
        (
            lambda record: record["setup"]["protocol"].update(resolution="400×400, squashed"),
            "has resolution 'original', the result was measured with '400×400, squashed'",
        ),
        (lambda record: record["setup"]["episodes"].update(recipe="hsnet"), "'hsnet'"),
        (lambda record: record["setup"]["protocol"].update(name="hsnet"), "of another run, toy/hs"),
    ],
)
def test_a_tampered_record_is_left_out(tmp_path: Path, change: object, said: str) -> None:
    write_run(tmp_path)
    edit(tmp_path, change)
    assert collect(Places(tmp_path, tmp_path / "none")).results == ()
    assert said in reasons(tmp_path)[str(KEY)]


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("fg_intersection", lambda pixels: [pixels[0] + 10_000, *pixels[1:]]),
        ("bg_intersection", lambda pixels: [pixels[0] + 10_000, *pixels[1:]]),
        ("fg_union", lambda pixels: [pixels[0] + 1, *pixels[1:]]),
    ],
)
def test_counts_that_fit_no_image_are_left_out(tmp_path: Path, column: str, change: object) -> None:
    write_run(tmp_path)
    rewrite(tmp_path, column, change)
    assert "of episode 0 fit no image" in reasons(tmp_path)[str(KEY)]


def test_counts_beyond_the_protocols_resolution_are_left_out(tmp_path: Path) -> None:
    key = write_run(tmp_path, protocol="hsnet")
    path = key.folder(tmp_path) / "episodes.parquet"
    table = pq.read_table(path)
    for name in ("bg_intersection", "bg_union"):
        pixels = table.column(name).to_pylist()
        values = pa.array([*pixels[:7], pixels[7] + 400 * 400, *pixels[8:]], pa.int64())
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, path)
    assert read_result(tmp_path, key).counts.areas.max() > 160_000
    assert "of episode 7 fit no image" in reasons(tmp_path)[str(key)]


def test_a_result_of_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path, protocol="hsnet"))
    setup = result.record.setup
    protocol = setup.protocol.model_copy(update={"name": "hsnett"})
    record = result.record.model_copy(
        update={"setup": setup.model_copy(update={"protocol": protocol})}
    )
    with pytest.raises(BenchError, match="did you mean hsnet"):
        check_result(replace(result, record=record))


def test_a_list_that_is_not_the_published_one_is_refused_with_both_digests(tmp_path: Path) -> None:
    published = "cb8ec1bf203a4cdf28835f0ff5c02d88da062c8d2c964728f8b6d37dc760ffe4"
    pascal = {"dataset": "pascal", "protocol": "hsnet", "lists": "published"}
    sound = write_run(tmp_path, episodes=published, **pascal)
    wrong = write_run(tmp_path, name="beta", **pascal)
    own = write_run(tmp_path, name="gamma", **{**pascal, "dataset": "toy"})
    kept = collect(Places(tmp_path, tmp_path / "none")).results
    assert [result.key for result in kept] == [sound, own]
    said = reasons(tmp_path)[str(wrong)]
    assert f"episode list 01{'e' * 62}, the published list is {published};" in said


def test_a_parquet_of_another_run_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path)
    other = write_run(tmp_path, name="beta", skill=0.2)
    stolen = (other.folder(tmp_path) / "episodes.parquet").read_bytes()
    (KEY.folder(tmp_path) / "episodes.parquet").write_bytes(stolen)
    assert "its miou says" in reasons(tmp_path)[str(KEY)]
    assert kept(tmp_path) == ["beta"]


def test_folds_that_a_part_cannot_test_are_not_lacking(tmp_path: Path) -> None:
    for fold in (1, 3):
        write_run(tmp_path, fold=fold, untested=(0, 2), lists="partial")
    (setting,) = settings(collect(Places(tmp_path, tmp_path / "none")).results)
    assert setting.folds == (1, 3)
    (row,) = setting.rows
    assert row.of == 2
    assert row.miou is not None
