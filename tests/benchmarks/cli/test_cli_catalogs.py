"""Datasets, protocols, models and episodes: what is there, and whether it is right."""

import json
from pathlib import Path

import pytest

from datasets_prep import catalog
from tests.benchmarks.cli import terminal
from tests.benchmarks.cli.terminal import MODEL, bench, refused
from tests.tiny import tiny_dataset

data_root, place = terminal.data_root, terminal.place


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
    assert message.endswith("mend it with: bench prepare folder ...")


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
    assert refused("models", "show", "my.py").endswith("run: bench models check my.py")


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
    options = ("--protocol", "hsnet", "--lists", lists, "--fold", "0", "--shots", "5")
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


def test_the_default_shots_are_those_that_the_protocol_has() -> None:
    which = ("tiny", "-p", "supports-v1", "--folds", "0")
    (line,) = bench("episodes", "digest", *which).stdout.splitlines()
    assert line.startswith("tiny fold0 1shot ")
    (stats,) = json.loads(bench("episodes", "stats", *which, "--json").stdout)
    assert stats["list"] == "fold0_1shot"
    usual = bench("episodes", "digest", "tiny", code=2)
    assert "no episode list fixed-v1/fold0_5shot" in usual.stderr


def test_shots_that_a_protocol_does_not_have_are_refused() -> None:
    said = "there is no 5-shot supports-v1; use --shots 1"
    asked = ("-p", "supports-v1", "--shots", "1,5", "--folds", "0")
    assert refused("episodes", "digest", "tiny", *asked) == said
    assert refused("episodes", "digest", "pascal", *asked, "--lists", "splits") == said


def test_a_picture_of_lists_goes_where_it_is_wanted() -> None:
    lists = ("episodes", "stats", "tiny", "--folds", "0", "--shots", "1", "--no-masks", "--png")
    bench(*lists, "new/folder/x.png")
    assert [path.name for path in Path("new/folder").iterdir()] == ["x.png"]
    assert refused(*lists, "new").endswith("choose another place")


def test_verify_lists_finds_what_cannot_be_run(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "own")
    own = ("episodes", "verify", "tiny", "--data-root", "own")
    assert "all 29 episode lists hold" in bench(*own).stdout
    path = tmp_path / "own/tiny/episodes/fixed-v1/fold0_1shot.jsonl"
    path.write_text(path.read_text().replace("img_0", "img_1", 1))
    assert "fixed-v1/fold0_1shot.jsonl has digest" in refused(*own)


def test_only_one_list_is_exported() -> None:
    assert "Missing option '--fold'" in refused("episodes", "export", "tiny")
    assert "--shots" in refused("episodes", "export", "tiny", "--fold", "0", "--shots", "1,5")
