"""Run, show and publish on a tiny dataset with a tiny model; what goes wrong is one message."""

import errno
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from benchmarks.cli import main
from tests.benchmarks.cli import terminal
from tests.benchmarks.cli.terminal import MODEL, bench, refused, run

data_root, place = terminal.data_root, terminal.place


# --- run ---


def test_run_measures_once_and_again_only_when_asked(tmp_path: Path) -> None:
    first = run("--shots", "1", "--limit", "40")
    assert "fixed-v1-first40" in first.stdout and "ColourModel" in first.stdout
    assert first.stderr.count("mIoU") == 2 and "already complete" not in first.stderr
    again = run("--shots", "1", "--limit", "40", "--json")
    results = json.loads(again.stdout)
    assert [r["status"] for r in results] == ["already complete"] * 2
    assert again.stderr.count("(already complete)") == 2
    fresh = json.loads(run("--shots", "1", "--limit", "40", "--fresh", "--json", "-q").stdout)
    assert [r["status"] for r in fresh] == ["measured"] * 2
    assert [r["miou"] for r in fresh] == [r["miou"] for r in results]
    assert (tmp_path / "results" / fresh[0]["run"] / "episodes.parquet").is_file()


def test_quiet_leaves_only_the_table() -> None:
    assert run("--shots", "1", "--folds", "0", "--limit", "5", "--quiet").stderr == ""


def test_what_was_asked_beside_stands_below_the_table() -> None:
    plain = ("--shots", "1", "--limit", "5", "--quiet")
    assert "boundary IoU" not in run(*plain).stdout
    said = run(*plain, "--metrics", "boundary", "--fresh").stdout
    assert "boundary IoU" in said
    found = json.loads(run(*plain, "--metrics", "boundary", "--json").stdout)
    shares = [own["answers"]["boundary_iou"] for own in found]
    assert len(shares) == 2 and f"{100 * sum(shares) / 2:.1f}" in said
    asked = json.loads(run(*plain, "--protocol", "absent-v1", "--json").stdout)
    assert {"present_miou", "false_alarm_rate", "marked_area"} == asked[0]["answers"].keys()
    assert "answers" not in json.loads(run(*plain, "--protocol", "hsnet", "--json").stdout)[0]
    assert refused("run", "--metrics", "edge").startswith("--metrics: Input should be 'boundary'")


def test_show_config_is_what_runs() -> None:
    Path("bench.yaml").write_text(
        "datasets: [{name: tiny, shots: [2]}, pascal]\nmodels: [prototype, random]\nthreads: 3\n"
    )
    shown = bench(
        "run", "--show-config", "--datasets", "tiny", "--models", "random", "--dtype", "bf16",
        "--batch-size", "4", "--cache-size", "1GB", "--folds", "1", "--save-predictions",
        "--option", "random.seed=7", "--device", "cpu",
    ).stdout  # fmt: skip
    config = yaml.safe_load(shown)
    assert config["datasets"] == [
        {"name": "tiny", "protocol": "fixed-v1", "folds": [1], "shots": [2]}
    ]
    assert config["models"] == [{"name": "random", "options": {"seed": 7}, "trained_on": []}]
    assert config["cache"] == {"device": 10**9, "host": 10**9}
    assert (config["dtype"], config["batch_size"], config["threads"]) == ("bf16", 4, 3)
    assert config["save_predictions"] == "png"


def test_dry_run_plans_without_measuring(tmp_path: Path) -> None:
    plan = json.loads(run("--shots", "2", "--folds", "0", "--dry-run", "--json").stdout)
    assert [(p["key"], p["status"], p["episodes"]) for p in plan] == [
        ("tiny/fixed-v1/ColourModel/fold0_2shot", "new", 1000)
    ]
    assert plan[0]["naive_support_encodes"] == 2000 and plan[0]["pairs"] <= 24
    table = run("--shots", "2", "--folds", "0", "--dry-run").stdout
    encodes = plan[0]["images"] + plan[0]["pairs"]
    assert f"{encodes}" in table and "5000" in table and "99%" in table
    assert not (tmp_path / "results").exists()


def test_an_own_model_in_a_file_gets_its_options_and_name(tmp_path: Path) -> None:
    Path("mine.py").write_text("from tests.tiny import ColourModel\nclass Mine(ColourModel): pass")
    result = bench(
        "run", "-d", "tiny", "--model-from", "mine.py", "--name", "best", "--option", "gain=2.5",
        "--limit", "3", "--folds", "0", "--shots", "1", "--device", "cpu", "--json",
    )  # fmt: skip
    (record,) = json.loads(result.stdout)
    assert record["run"] == "tiny/fixed-v1-first3/best/fold0_1shot"
    assert record["setup"]["model"]["config"] == {"gain": 2.5}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--shots", "0"], "'0' is not a list of whole numbers from 1 up"),
        (["--shots", "1,x"], "'1,x' is not a list of whole numbers"),
        (["--folds", "7"], "no fold 7: folds are 0..1"),
        (["--shots", "3"], "has no episode list fixed-v1/fold0_3shot"),
        (["--device", "cuda:99"], "device 'cuda:99'"),
        (["--device", "tpu9"], "unknown device 'tpu9'"),
        (["--option", "gian=1"], "unknown option 'gian'; did you mean gain"),
        (["--models", "prototyp"], "unknown model 'prototyp'; did you mean prototype"),
        (["--shot", "1"], "No such option"),
        (["--config", "none.yaml"], "cannot read none.yaml"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_message(args: list[str], said: str) -> None:
    base = ["run", "-d", "tiny", "--model-from", MODEL, "--device", "cpu", "--shots", "1"]
    assert said in refused(*base, *args)


def test_nothing_chosen_says_how_to_choose() -> None:
    assert refused("run").startswith("no datasets to run: name some with --datasets")
    assert refused("run", "-d", "tiny").startswith("no models to run")


def test_bad_yaml_is_one_message() -> None:
    Path("bench.yaml").write_text("datasets:\n  - {name: tiny, shot: [1]}\n")
    assert refused("run") == (
        "bench.yaml, line 2: datasets[0].shot: unknown key 'shot'; did you mean shots?"
    )


# --- errors and interruption ---


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "/full/x: No space left on device; free some space"),
        (errno.EROFS, "/full/x: Read-only file system; choose a place"),
        (errno.EACCES, "/full/x: Permission denied; choose a place"),
        (errno.ENAMETOOLONG, "/full/x: File name too long; choose a shorter name"),
    ],
)
def test_a_disk_that_refuses_is_one_message(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/full/x")

    monkeypatch.setattr("benchmarks.engines.runner.run_matrix", refuse)
    assert said in refused("run", "-d", "tiny", "--model-from", MODEL)


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(main, ["run", "-d", "nothing", "--model-from", MODEL, "--debug"])
    assert type(result.exception).__name__ == "DatasetError"


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("benchmarks.engines.runner.run_matrix", fail)
    result = CliRunner().invoke(main, ["run", "-d", "tiny", "--model-from", MODEL])
    assert isinstance(result.exception, OSError)


# --- show, leaderboard, doctor ---


def test_show_draws_what_a_run_kept_and_what_a_model_makes_now() -> None:
    run("--limit", "5", "--folds", "0", "--shots", "1", "--save-predictions", "-q")
    kept = bench("show", "tiny", "3", "--run", "ColourModel/fold0_1shot", "--out", "kept.png")
    assert kept.stdout == "wrote kept.png\n"
    bench("show", "tiny", "3", "--model", MODEL, "--device", "cpu", "--out", "now.png")
    bench("show", "tiny", "3")
    assert Path("kept.png").read_bytes() == Path("now.png").read_bytes()
    widths = [Image.open(name).width for name in ("now.png", "tiny_3.png")]
    assert widths[0] > widths[1]


def test_show_finds_the_best_and_the_worst_support_of_a_query() -> None:
    run("--limit", "60", "--folds", "0", "--shots", "1", "--save-predictions", "-q")
    run_of = ("--run", "ColourModel/fold0_1shot", "--out", "told.png")
    best = bench("show", "tiny", "3", *run_of, "--best").stdout
    first = Path("told.png").read_bytes()
    worst = bench("show", "tiny", "3", *run_of, "--worst").stdout
    rows = [[line.split() for line in told.splitlines()[2:-1]] for told in (best, worst)]
    assert len(rows[0]) > 1 and sorted(rows[0]) == sorted(rows[1])
    for own, falling in zip(rows, (True, False), strict=True):
        ious = [float(row[1]) for row in own]
        assert ious == sorted(ious, reverse=falling)
    bench("show", "tiny", rows[0][0][0], *run_of)
    assert Path("told.png").read_bytes() == first
    assert "--best and --worst need --run" in bench("show", "tiny", "3", "--best", code=2).stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--run colour --fold 0", "--run says which list: leave --fold out"),
        ("--run colour -p hsnet -k 5", "--run says which list: leave --protocol and --shots out"),
        ("--device cpu", "--device needs --model"),
        ("-o gain=2 --device cpu", "--option and --device need --model"),
        ("--run colour -o gain=2", "--option needs --model"),
    ],
)
def test_show_refuses_what_it_would_not_read(given: str, said: str) -> None:
    assert said in bench("show", "tiny", "3", *given.split(), code=2).stderr


def test_show_draws_no_mask_over_other_data(tmp_path: Path) -> None:
    run("--limit", "5", "--folds", "0", "--shots", "1", "--save-predictions", "-q")
    record = tmp_path / "results/tiny/fixed-v1-first5/ColourModel/fold0_1shot/run.json"
    body = json.loads(record.read_text())
    body["setup"]["episodes"]["digest"] = 64 * "0"
    record.write_text(json.dumps(body))
    said = refused("show", "tiny", "3", "--run", "ColourModel/fold0_1shot")
    assert "measured on episode list 0000000000000000, tiny has" in said
    assert not Path("tiny_3.png").exists()


def test_pictures_and_batch_files_go_where_they_are_wanted() -> None:
    bench("show", "tiny", "3", "--out", "new/folder/three.png")
    assert Image.open("new/folder/three.png").format == "PNG"
    assert refused("show", "tiny", "3", "--out", "new").endswith("choose another place")
    bench("submit", "--slurm", "--shards", "2", "--out", "jobs/two.sbatch")
    assert Path("jobs/two.sbatch").read_text().startswith("#!")


@pytest.mark.parametrize("folder", ["14000", "2024-01-01", "a #b", "no"])
def test_a_checkpoint_may_be_called_anything(folder: str) -> None:
    shown = bench("run", "--models", "diffews", "--checkpoint", folder, "--show-config").stdout
    assert yaml.safe_load(shown)["models"][0]["options"] == {"checkpoint": folder}


def test_show_says_what_is_there_instead() -> None:
    run("--limit", "5", "--folds", "0", "--shots", "1", "-q")
    unknown = refused("show", "tiny", "3", "--run", "nobody/fold0_1shot")
    assert unknown.endswith("tiny/fixed-v1-first5/ColourModel/fold0_1shot")
    unkept = refused("show", "tiny", "3", "--run", "ColourModel/fold0_1shot")
    assert "--fresh --save-predictions" in unkept
    assert "episodes 0 to 999, not 5000" in refused("show", "tiny", "5000")


def test_leaderboard_prints_and_writes(tmp_path: Path) -> None:
    run("--shots", "1", "--quiet")
    shown = bench("leaderboard", "--output", "board").stdout
    assert "ColourModel" in shown and "tiny" in shown
    assert "ColourModel" in (tmp_path / "board/README.md").read_text()


def test_doctor_finds_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checks = {
        c["name"]: c
        for c in json.loads(bench("doctor", "--json", "--data-root", "file/in", code=1).stdout)
    }
    assert checks["data root"]["state"] == "wrong"
    assert checks["results root"]["state"] in ("ok", "warning")
    assert "torch" in checks["packages"]["finding"]
