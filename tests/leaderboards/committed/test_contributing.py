"""A contribution from outside, from the run to the row; and what is refused on the way."""

import json
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from benchmarks.cli import main
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.results import figures
from benchmarks.results.kept_masks import mask_of, read_masks, write_masks
from benchmarks.results.repeat import options_of, registered, repeat_command
from benchmarks.results.store import RunKey, find_runs, read_result
from leaderboards.committed.archive import pack, read_archive
from leaderboards.committed.curate import Check, check
from leaderboards.committed.files import CommittedRecord, committed_json
from leaderboards.committed.moves import moves
from leaderboards.committed.sample import (
    Verification,
    differing,
    draw,
    read_verified,
    record_verified,
)
from tests.leaderboards.synthetic import make_record, make_rows, make_setup, write_model
from tests.tiny import tiny_dataset

WHO = ("--model", "tests.tiny:ColourModel")
RUN = ("run", "--datasets", "tiny", "--shots", "1", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where somebody has measured a model of their own."""
    home = tmp_path_factory.mktemp("home")
    tiny_dataset(home / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("BENCH_DATA", str(home / "data"))
        patch.setenv("BENCH_RESULTS", str(home / "results"))
        bench(
            *RUN, "--model-from", "tests.tiny:ColourModel", "--name", "mine", "--save-predictions"
        )
        bench(*RUN, "--models", "random,centre-prior")
        bench("results", "pack", "mine", "--predictions", "--out", "mine.zip")
    return home


@pytest.fixture
def place(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(measured / "data"))
    monkeypatch.setenv("BENCH_RESULTS", str(measured / "results"))
    yield tmp_path


def bench(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result


def test_one_contribution_from_end_to_end(place: Path, measured: Path) -> None:
    # The maintainers' checkout has a floor already.
    bench("results", "add", "random")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "leaderboards"], ["commit", "-q", "-m", "results"]):
        subprocess.run(["git", "-C", place, *identity, *arguments], check=True)

    # The contributor's file is all that is sent; nothing of their store is here any more.
    sent = place / "mine.zip"
    sent.write_bytes((measured / "mine.zip").read_bytes())
    said = bench("results", "verify", sent, *WHO, "--sample", "30", "--seed", "4").stdout
    assert "30 episodes of 2 results were measured again with seed 4: all counts agree\n" in said

    added = bench("results", "add", sent).stdout.splitlines()
    assert len(added) == 4 and all("leaderboards/results/tiny/fixed-v1/mine" in p for p in added)
    noted = bench("results", "verify", sent, *WHO, "--record", "third party").stdout
    assert "noted in leaderboards/verified.json" in noted
    checked = bench("results", "check", "--rows").stdout
    assert "4 results hold, 0 problems" in checked
    (row,) = [line for line in checked.splitlines() if "| mine" in line]
    assert "generalist" in row and "–" in row and ", 1 |" in row

    board = bench("leaderboard", "--results-root", "nothing").stdout
    assert "mine" in board
    data = json.loads(Path("leaderboards/boards/board.json").read_text())
    rows = {own["name"]: own for own in data["settings"][0]["rows"]}
    assert rows["mine"]["provenance"]["verified"] == "third party"
    assert rows["random"]["provenance"]["verified"] == "nobody"


def test_an_archive_says_nothing_of_the_machine_and_is_the_same_each_time(
    place: Path, measured: Path
) -> None:
    bench("results", "pack", "mine", "--predictions", "--out", "again.zip")
    assert Path("again.zip").read_bytes() == (measured / "mine.zip").read_bytes()
    with zipfile.ZipFile("again.zip") as file:
        content = b"".join(file.read(name) for name in file.namelist())
        assert len(file.namelist()) == 6
    assert socket.gethostname().encode() not in content
    assert str(measured).encode() not in content and b"/root" not in content


def test_masks_come_back_bit_for_bit(place: Path, measured: Path) -> None:
    from benchmarks.evaluation.episode_mask import kept_mask

    archive = read_archive(measured / "mine.zip")
    for key, masks in archive.masks.items():
        assert len(masks) == archive.results[0].record.setup.episodes.count
        for number in (0, 3, len(masks) - 1):
            kept = kept_mask(measured / "results", key, number)
            assert np.array_equal(mask_of(masks[number]), kept)
    assert mask_of({"size": [2, 2], "counts": [1, 2, 1]}).tolist() == [[False, True], [True, False]]


def test_masks_are_kept_beside_the_counts_where_they_are_asked_for(
    place: Path, measured: Path
) -> None:
    from benchmarks.evaluation.episode_mask import kept_mask

    added = [Path(line) for line in bench("results", "add", "mine", "--predictions").stdout.split()]
    tables = [path for path in added if path.name.endswith("shot.predictions.parquet")]
    assert len(added) == 6 and len(tables) == 2
    (key, *_) = read_archive(measured / "mine.zip").masks
    first = Path("leaderboards/results") / f"{key}.predictions.parquet"
    stored = read_masks(first)
    for number in (0, 7, len(stored) - 1):
        kept = kept_mask(measured / "results", key, number)
        assert np.array_equal(mask_of(stored[number]), kept)
    content = first.read_bytes()
    bench("results", "add", "mine")  # the same counts: their masks stay
    assert first.read_bytes() == content
    bench("results", "add", measured / "mine.zip", "--predictions")
    assert first.read_bytes() == content
    assert check(Path("leaderboards/results")) == Check(2, ())
    said = bench("results", "add", "random", "--predictions", code=2).output
    assert "kept no mask of episode 0" in said
    assert not list(Path("leaderboards/results").rglob("random/*"))
    first.with_name("fold9_1shot.predictions.parquet").write_bytes(content)
    (problem,) = check(Path("leaderboards/results")).problems
    assert "fold9_1shot.predictions.parquet: belongs to no result" in problem


def test_nothing_is_written_where_a_mask_is_lacking(place: Path, measured: Path) -> None:
    said = bench("results", "add", measured / "mine.zip", "random", "--predictions", code=2).output
    assert "kept no mask of episode 0" in said
    assert not Path("leaderboards").exists()


def test_masks_that_do_not_fit_their_result_are_found(place: Path, measured: Path) -> None:
    bench("results", "add", "mine", "--predictions")
    root = Path("leaderboards/results")
    first, second = sorted(root.rglob("*.predictions.parquet"))
    content = first.read_bytes()
    lines = read_masks(first)
    whole = [(number, mask_of(line)) for number, line in lines.items()]
    for masks, said in (
        (whole[:-1], f"does not hold the masks of its {len(whole)} episodes"),
        ([(0, ~whole[0][1]), *whole[1:]], "the mask of episode 0 in "),
    ):
        write_masks(first, masks)
        (problem,) = check(root).problems
        assert said in problem and problem.startswith("tiny/fixed-v1/mine/fold0_1shot: ")
    first.write_bytes(content)
    second.write_bytes(b"garbage")
    (problem,) = check(root).problems
    assert "cannot read" in problem and problem.endswith(f"delete {second.name}, or add it again")


def test_embellished_counts_are_found(place: Path, measured: Path) -> None:
    store = measured / "results"
    own = [read_result(store, key) for key in find_runs(store) if key.model == "mine"]
    better = []
    for result in own:
        areas = result.counts.areas.copy()
        areas[:, 0] = areas[:, 1]  # every mask is perfect
        areas[:, 2] = areas[:, 3] = areas[:, 3].max()
        counts = EpisodeCounts(result.counts.episode, result.counts.class_id, areas)
        finer = replace(result, counts=counts)
        scores = {"miou": figures.miou(finer), "fb_iou": figures.fb_iou(finer)}
        scores["class_iou"] = dict(figures.class_ious(finer))
        better.append(replace(finer, record=result.record.model_copy(update=scores)))
    pack(better, place / "better.zip")
    found = bench("results", "verify", "better.zip", *WHO, "--sample", "10", code=1)
    assert found.stderr.count("the result says") == 10 and "10 differ" in found.stdout
    again = bench("results", "verify", "better.zip", *WHO, "--record", "author", code=1)
    assert "noted" not in again.stdout and not Path("leaderboards/verified.json").exists()


def test_other_weights_or_code_are_refused(place: Path, measured: Path) -> None:
    said = bench("results", "verify", measured / "mine.zip", "--model", "random", code=2).stderr
    assert "mine was measured with source_digest" in said and "--model and --option" in said
    said = bench("results", "verify", measured / "mine.zip", code=2).stderr
    assert "is of code that is not the suite's; name it with --model" in said


def test_a_model_of_the_suite_is_found_by_its_record(place: Path) -> None:
    bench("results", "pack", "random", "centre-prior")
    assert "all counts agree" in bench("results", "verify", "results.zip").stdout
    with zipfile.ZipFile("results.zip") as file:
        assert {Path(name).suffix for name in file.namelist()} == {".json", ".parquet"}


def test_masks_that_were_not_kept_cannot_be_sent(place: Path) -> None:
    said = bench("results", "pack", "random", "--predictions", code=2).stderr
    assert "kept no mask of episode 0" in said and not Path("results.zip").exists()


def test_what_is_no_archive_is_refused(place: Path, measured: Path) -> None:
    Path("a.zip").write_bytes(b"PK nothing")
    assert "a.zip is not an archive of bench results pack" in bench(
        "results", "add", "a.zip", code=2
    ).stderr  # fmt: skip
    for name in ("results/../../evil.json", "notes.txt", "./", "results/a/b/c/fold0_1shot.py"):
        with zipfile.ZipFile("b.zip", "w") as file:
            file.writestr(name, "{}")
        assert "never writes" in bench("results", "add", "b.zip", code=2).stderr
    with zipfile.ZipFile(measured / "mine.zip") as source, zipfile.ZipFile("c.zip", "w") as file:
        for name in source.namelist():
            if name.endswith("fold0_1shot.json"):
                file.writestr(
                    name, source.read(name).replace(b'"counts_digest": "', b'"counts_digest": "0')
                )
            else:
                file.writestr(name, source.read(name))
    assert "is not the table" in bench("results", "add", "c.zip", code=2).stderr
    bench("results", "pack", "mine/fold0_1shot", code=2)


def test_a_sample_is_seeded_and_touches_every_result(measured: Path) -> None:
    results = read_archive(measured / "mine.zip").results
    first = draw(results, 7, 0)
    assert draw(results, 7, 0) == first != draw(results, 7, 1)
    assert sorted(map(len, first.values())) == [3, 4]
    assert sorted(map(len, draw(results, 1, 0).values())) == [1, 1]


def test_what_says_more_of_a_result_stays(tmp_path: Path) -> None:
    def verified(by: str, episodes: int, exact: bool, date: str = "2026-11-02") -> Verification:
        return Verification(by, episodes, 0, exact, "Toy CPU", date)

    third = verified("third party", 10, exact=False)
    for weaker in (verified("author", 50, exact=True), verified("third party", 9, exact=False)):
        for own in (third, weaker, third, weaker):
            record_verified(tmp_path, {"a": own})
        assert read_verified(tmp_path) == {"a": third}
    for stronger in (
        verified("third party", 5, exact=True),
        verified("third party", 6, exact=True),
        verified("third party", 6, exact=True, date="2026-12-01"),
    ):
        record_verified(tmp_path, {"a": stronger, "b": third})
        assert read_verified(tmp_path) == {"a": stronger, "b": third}


def test_elsewhere_counts_may_differ_by_the_stated_rounding(measured: Path) -> None:
    result = read_archive(measured / "mine.zip").results[0]
    areas = result.counts.areas[0]
    pixels = int(areas[0] + areas[3])
    near, far = areas + -(-pixels // 200), areas + pixels // 100 + 2
    assert differing(result, {0: areas.tolist()}, exact=True) == []
    assert len(differing(result, {0: near.tolist()}, exact=True)) == 1
    assert differing(result, {0: near.tolist()}, exact=False) == []
    assert len(differing(result, {0: far.tolist()}, exact=False)) == 1


def test_the_command_repeats_what_the_record_says() -> None:
    changes = {"title": "Dense nearest neighbour", "dtype": "bf16", "fold": 1}
    config = {"backbone": "dinov2", "weights": "facebook/dinov2-base", "size": 518, "layer": "x"}
    setup = make_setup(name="dn-518", config=config, **changes)
    record = make_record(setup, make_rows(setup))
    assert registered(setup.model) == "dense-nn"
    assert options_of(setup.model) == config
    packed = setup.model.model_copy(update={"config": {"size": 320, "weights": "here.pth"}})
    assert "weights" not in options_of(packed)
    said = repeat_command([record])
    assert said.startswith("bench run --datasets toy --protocol fixed-v1 --shots 1 --folds 1 ")
    assert "--models dense-nn --option backbone=dinov2" in said
    assert said.endswith("--name dn-518 --device cpu --dtype bf16")
    other = make_setup(source_digest="a" * 64)
    assert "--model-from FILE.py --name alpha" in repeat_command(
        [make_record(other, make_rows(other))]
    )


def test_the_command_names_each_folds_own_file() -> None:
    def said(**options: str) -> str:
        setups = [
            make_setup(name="hsnet", title="HSNet", fold=fold, config={"weights": file})
            for fold, file in enumerate(options.values())
        ]
        return repeat_command([make_record(setup, make_rows(setup)) for setup in setups])

    assert "'weights=hsnet/fold{fold}/best'" in said(a="hsnet/fold0/best", b="hsnet/fold1/best")
    assert " weights=hsnet/best " in said(a="hsnet/best", b="hsnet/best")
    assert " weights=WEIGHTS " in said(a="a/77", b="b/31")


def test_the_command_for_masks_says_how_they_are_read() -> None:
    config = {"predictions_sha256": "ab", "threshold": 128, "palette": "colour"}
    setup = make_setup(name="mine", kind="predictions", config=config)
    said = repeat_command([make_record(setup, make_rows(setup))])
    assert said.endswith("--name mine --threshold 128 --palette colour --sees-test-classes no")


def test_rows_that_move_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    write_model(tmp_path / "results", "alpha", skill=0.5)
    bench("results", "add", "alpha")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "leaderboards"], ["commit", "-q", "-m", "results"]):
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)
    assert "No row moves." in bench("results", "check", "--rows").stdout
    write_model(tmp_path / "results", "beta", skill=0.8)
    bench("results", "add", "beta")
    lines = [
        line for line in bench("results", "check", "--rows").stdout.splitlines() if "toy" in line
    ]
    assert [line.split("|")[5].strip() for line in lines] == ["beta", "alpha"]
    assert lines[0].split("|")[6].strip() == "–" and lines[0].rstrip().endswith(", 1 |")
    assert ", 1 |" in lines[1] and lines[1].rstrip().endswith(", 2 |")


def test_rows_stand_in_the_tier_and_with_the_mean_of_the_board(tmp_path: Path) -> None:
    def found(name: str, fold: int, **changes: object) -> CommittedRecord:
        setup = make_setup(name=name, fold=fold, **changes)
        run = make_record(setup, make_rows(setup))
        return CommittedRecord(run=run, class_counts={}, counts_digest="")

    records = [
        found(name, fold, **changes)
        for fold in range(4)
        for name, changes in {
            "seen": {"sees_test_classes": "no" if fold else "unknown"},
            "mixed": {"config": {"size": 64 if fold else 32}},
            "floor": {"kind": "floor"},
            "whole": {},
        }.items()
    ]
    root = tmp_path / "results"
    for record in records:
        setup = record.run.setup
        path = committed_json(root, RunKey("toy", "fixed-v1", setup.model.name, setup.fold, 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json())
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "nothing"]):
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)
    moved = [(move.setting[3], move.model, move.after[1]) for move in moves(tmp_path, "HEAD")]
    assert moved == [("generalist", "seen", 1), ("strict", "whole", 1)]


def test_templates_and_workflow_are_sound() -> None:
    root = Path(__file__).resolve().parents[3] / ".github"
    forms = sorted(
        path for path in (root / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
    )
    assert [path.stem for path in forms] == [
        "doubted-number", "new-dataset", "new-model", "new-result"
    ]  # fmt: skip
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys()
        ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len(ids) == len(set(ids)) >= 3
        assert all(field["attributes"].get("label") for field in form["body"] if "id" in field)
    workflow = yaml.safe_load((root / "workflows/results.yml").read_text())
    (step,) = [own for own in workflow["jobs"]["rows"]["steps"] if "check" in own.get("run", "")]
    command = step["run"].partition("|")[0].split()[1:]
    assert command[:2] == ["results", "check"] and "--rows" in command
    assert workflow["permissions"] == {"contents": "read"}
