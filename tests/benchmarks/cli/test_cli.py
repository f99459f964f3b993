"""The verbs on a tiny dataset with a tiny model, from preparation to pictures."""

import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks.cli import main
from datasets_prep import catalog
from tests.tiny import tiny_dataset

MODEL = "tests.tiny:ColourModel"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    tiny_dataset(root)
    return root


@pytest.fixture(autouse=True)
def place(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(data_root))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    before = list(sys.path)
    yield
    sys.path[:] = before


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def run(*args: str, code: int = 0) -> Result:
    return bench(
        "run", "--datasets", "tiny", "--model-from", MODEL, "--device", "cpu", *args, code=code
    )


def refused(*args: str) -> str:
    """The one message of a command that must fail without a traceback."""
    result = bench(*args, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    return result.stderr.removeprefix("error: ").strip()


# --- prepare and datasets ---


@pytest.fixture
def tiny_in_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "DATASETS", {"tiny": "tests.tiny:Tiny"})


@pytest.mark.usefixtures("tiny_in_catalog")
def test_prepare_makes_flags_from_the_builders_options(tmp_path: Path) -> None:
    assert "--images N" in bench("prepare", "tiny", "--help").output
    assert "tiny" in bench("prepare", "--help").output
    own = ("prepare", "tiny", "--data-root", "mine", "--images", "20", "--shots", "2")
    assert "mine/tiny" in bench(*own, "--dry-run").output
    assert not (tmp_path / "mine").exists()
    assert "tiny: 20 images, 4 classes, 2 folds" in bench(*own).output
    assert (tmp_path / "mine/tiny/episodes/hsnet/fold1_2shot.jsonl").is_file()
    assert refused("prepare", "tiny", "--images", "many").startswith("--images: Input should be")


def test_an_unknown_dataset_has_near_names() -> None:
    said = refused("prepare", "pascall")
    assert said.startswith("unknown dataset 'pascall'; did you mean pascal")


def test_a_group_is_prepared_one_by_one() -> None:
    said = refused("prepare", "cdfss")
    assert said.startswith("cdfss stands for fss1000, isic2018, chestxray, deepglobe: prepare each")


def test_verify_names_what_changed(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "own")
    own = ("datasets", "verify", "tiny", "--data-root", "own")
    assert bench(*own, "--full").stdout.startswith("tiny: every file, image and label map")
    (tmp_path / "own/tiny/classes.json").write_text("{}")
    message = refused(*own)
    assert "own/tiny/classes.json has sha256" in message
    assert message.endswith("mend it with: bench prepare tiny")


def test_a_dataset_that_is_not_prepared_names_the_command() -> None:
    message = refused("run", "--datasets", "pascal", "--model-from", MODEL)
    assert message.startswith("dataset 'pascal' is not prepared")
    assert message.endswith("run: bench prepare pascal")


def test_every_member_of_a_group_that_is_not_prepared_is_named() -> None:
    for dry in ((), ("--dry-run",)):
        lines = refused("run", "--datasets", "cdfss,tiny", "--model-from", MODEL, *dry).splitlines()
        names = ("fss1000", "isic2018", "chestxray", "deepglobe")
        for line, name in zip(lines, names, strict=True):
            assert line.startswith(f"dataset '{name}' is not prepared in ")
            assert line.endswith(f"run: bench prepare {name}")


# --- protocols and models ---


def test_protocols_say_everything_that_fixes_a_number() -> None:
    rows = {row["name"]: row for row in json.loads(bench("protocols", "--json").stdout)}
    assert rows["hsnet"]["resolution"] == "400×400, squashed" and rows["hsnet"]["repeats"]
    table = bench("protocols").stdout
    for word in ("fixed-v1", "hsnet@512", "123", "not reproduced", "best of five"):
        assert word in table
    one = bench("protocols", "pfenet").stdout
    assert "321" in one and "hsnet" not in one
    assert refused("protocols", "hsnt").startswith("unknown protocol 'hsnt'; did you mean hsnet")


def test_models_are_listed_with_their_options() -> None:
    entries = {entry["name"]: entry for entry in json.loads(bench("models", "--json").stdout)}
    assert {"prototype", "dense-nn", "random", "diffews"} <= entries.keys()
    assert entries["oracle-box"]["kind"] == "oracle"
    options = {option["name"]: option for option in entries["dense-nn"]["options"]}
    assert options["backbone"]["default"] == "efficientnet-lite0"
    table = bench("models").stdout
    assert all(name in table for name in entries)
    assert "efficientnet-lite0" in bench("models", "show", "dense-nn").stdout
    assert "deviations" in bench("models", "show", "hsnet").stdout
    assert "ChaoningZhang/MobileSAM" in bench("models", "show", "mobile-sam").stdout
    assert refused("models", "show", "dense").startswith("unknown model 'dense'; did you mean")


def test_check_passes_what_keeps_the_contract_and_names_what_does_not() -> None:
    good = json.loads(bench("models", "check", MODEL, "--device", "cpu", "--json").stdout)
    assert good and all(finding["passed"] for finding in good)
    Path("bad.py").write_text(
        "from tests.tiny import ColourModel\n"
        "class Bad(ColourModel):\n"
        "    def encode_image(self, images):\n"
        "        made = super().encode_image(images)\n"
        "        images.zero_()\n"
        "        return made\n"
    )
    said = bench("models", "check", "bad.py", "--device", "cpu", code=1).stdout
    assert "wrong inputs are left unchanged" in said
    assert "the images it was given were changed in place" in said


def test_converting_what_is_not_there_names_it() -> None:
    assert "nothing" in refused("models", "convert", "sd2", "nothing", "out")
    assert not Path("out").exists()


# --- episodes ---


def test_digests_of_published_lists_from_files_alone(shared_dir: Path) -> None:
    lists = str(shared_dir / "reference/splits")
    options = ("--protocol", "hsnet", "--lists", lists, "--folds", "0", "--shots", "5")
    line = bench("episodes", "digest", "pascal", *options).stdout
    assert line == (
        "pascal fold0 5shot 1000 1fae52f41cc157cd3fd7a17a7f5283e98594d2dc47330eaf17c4ac523cad5bc4\n"
    )
    (stats,) = json.loads(bench("episodes", "stats", "pascal", *options, "--json").stdout)
    assert (stats["episodes"], stats["repeated"]) == (1000, 133)
    bench("episodes", "export", "pascal", *options, "--out", "list.jsonl")
    first = json.loads(Path("list.jsonl").read_text().splitlines()[0])
    assert (first["class"], first["query"]) == (0, "2007_000033")
    to_stdout = bench("episodes", "export", "pascal", *options).stdout
    assert to_stdout == Path("list.jsonl").read_text()


def test_digests_of_prepared_lists_are_those_of_the_manifest(data_root: Path) -> None:
    manifest = json.loads((data_root / "tiny/manifest.json").read_text())["episodes"]
    lines = bench(
        "episodes", "digest", "tiny", "--protocol", "hsnet@512", "--shots", "1,2"
    ).stdout.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["tiny", f"fold{fold}", f"{shots}shot", "1000"] for fold in (0, 1) for shots in (1, 2)
    ]
    assert lines[1].split()[4] == manifest["hsnet/fold0_2shot"]["digest"]
    listed = json.loads(bench("episodes", "list", "--json").stdout)
    assert {e["digest"] for e in listed} == {e["digest"] for e in manifest.values()}
    nothing = bench("episodes", "list", "--data-root", "empty").stdout
    assert nothing == "no dataset is prepared in empty; run: bench prepare shapes\n"


def test_stats_count_every_class() -> None:
    table = bench("episodes", "stats", "tiny", "--folds", "1", "--shots", "1", "--classes").stdout
    rows = [line.split() for line in table.splitlines() if "fold1_1shot" in line]
    assert rows == [["fold1_1shot", "corner", "500"], ["fold1_1shot", "stripe", "500"]]


def test_verify_lists_finds_what_cannot_be_run(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "own")
    own = ("episodes", "verify", "tiny", "--data-root", "own")
    assert "all 29 episode lists hold" in bench(*own).stdout
    path = tmp_path / "own/tiny/episodes/fixed-v1/fold0_1shot.jsonl"
    path.write_text(path.read_text().replace("img_0", "img_1", 1))
    assert "fixed-v1/fold0_1shot.jsonl has digest" in refused(*own)


def test_only_one_list_is_exported() -> None:
    assert "one list is exported at a time" in refused("episodes", "export", "tiny")


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
