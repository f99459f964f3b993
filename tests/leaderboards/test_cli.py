"""The verbs that compare, plan, commit and report."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from benchmarks.cli import main
from benchmarks.evaluation.episode_mask import no_pictures
from benchmarks.results.store import read_result
from leaderboards.committed.collect import Places
from tests.leaderboards.synthetic import write_model, write_run
from tests.tiny import tiny_dataset


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    for shots in (1, 5):
        write_model(tmp_path / "results", "alpha", skill=0.7, shots=shots)
        write_model(tmp_path / "results", "beta", skill=0.5, seed=3, shots=shots)
    yield


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def refused(*args: str) -> str:
    result = bench(*args, code=2)
    assert "error: " in result.stderr
    return result.stderr


# compare


def test_two_models_are_compared_wherever_both_were_measured() -> None:
    found = json.loads(bench("compare", "alpha", "beta", "--json").stdout)
    assert [(own["a"], own["b"], own["shots"]) for own in found] == [
        ("alpha", "beta", 1),
        ("alpha", "beta", 5),
    ]
    turned = json.loads(bench("compare", "beta", "alpha", "--json").stdout)
    assert [(own["a"], own["b"], own["shots"]) for own in turned] == [
        ("beta", "alpha", 1),
        ("beta", "alpha", 5),
    ]
    first = found[0]
    assert first["p"] < 0.001 and first["miou"]["interval"]["low"] > 0
    assert len(first["classes"]) == 8 and len(first["episodes"]) == 10
    text = bench("compare", "alpha", "beta", "-k", "1").stdout
    for word in ("toy, fixed-v1, 1-shot", "alpha - beta", "class IoU", "disc", "differ most"):
        assert word in text
    assert "5-shot" not in text


def test_several_models_get_one_table_with_corrected_p_values(tmp_path: Path) -> None:
    write_model(tmp_path / "results", "gamma", skill=0.6, seed=5)
    text = bench("compare", "toy", "--shots", "1").stdout
    assert text.count("toy, fixed-v1, 1-shot") == 3
    assert "p (Holm)" in text and "class IoU" not in text


def test_committed_results_are_compared_too(tmp_path: Path) -> None:
    bench("results", "add", "beta")
    write_model(tmp_path / "elsewhere", "alpha", skill=0.7)
    found = bench("compare", "alpha", "beta", "--results-root", "elsewhere", "--json").stdout
    assert [(own["a"], own["b"]) for own in json.loads(found)] == [("alpha", "beta")]


def test_what_cannot_be_compared_is_refused_with_both_digests(tmp_path: Path) -> None:
    write_model(tmp_path / "results", "gamma", digest="f" * 64)
    message = refused("compare", "alpha", "gamma")
    assert "dddddddddddddddd and ffffffffffffffff" in message
    assert "did you mean alpha" in refused("compare", "alpha", "alpho")
    said = refused("compare", "alpha", "xyz")
    assert "called 'xyz'; there are: alpha, beta, gamma; there are no committed results" in said
    nothing = refused("compare", "alpha", "beta", "--dataset", "nothing", "--shots", "1")
    assert "there is no result of dataset nothing, shots 1; bench leaderboard lists" in nothing


def test_pictures_need_the_dataset_and_kept_masks(tmp_path: Path) -> None:
    assert "is not prepared" in refused("compare", "alpha", "beta", "--pictures", "pictures")
    tiny_dataset(tmp_path / "data")
    run = ("run", "--datasets", "tiny", "--shots", "1", "--device", "cpu", "--quiet")
    bench(*run, "--model-from", "tests.tiny:ColourModel", "--save-predictions", "--limit", "12")
    bench(*run, "--models", "random", "--limit", "12")
    names = ("ColourModel", "random", "--pictures", "pictures")
    assert "kept no mask of episode" in refused("compare", *names)
    bench(*run, "--models", "random", "--limit", "12", "--save-predictions", "--fresh")
    bench("compare", *names)
    drawn = sorted(path.name for path in (tmp_path / "pictures").glob("*.png"))
    assert len(drawn) == 20
    assert drawn[0].startswith("tiny_fixed-v1-first12_1shot_fold0_0000")


def test_committed_rows_have_no_pictures(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    run = ("run", "--datasets", "tiny", "--shots", "1", "--device", "cpu", "--quiet")
    bench(*run, "--models", "random,centre-prior", "--save-predictions")
    bench("results", "add", "random")
    elsewhere = tmp_path / "elsewhere/tiny/fixed-v1/centre-prior"
    shutil.copytree(tmp_path / "results/tiny/fixed-v1/centre-prior", elsewhere)
    names = ("random", "centre-prior", "--pictures", "pictures", "--results-root", "elsewhere")
    done = bench("compare", *names)
    assert done.stderr.count("random: committed rows have no pictures here\n") == 1
    drawn = [path.name for path in (tmp_path / "pictures").glob("*.png")]
    assert len(drawn) == 10 and all("centre-prior" in name for name in drawn)


def test_pictures_of_other_counts_than_the_row_are_not_shown(tmp_path: Path) -> None:
    bench("results", "add", "alpha")
    store = tmp_path / "other"
    key = write_run(store, skill=0.2, record={"started": "2026-01-01T00:00:00+00:00"})
    result = Places(store, tmp_path / "leaderboards/results").read(key)
    assert "has other counts than the row" in str(no_pictures(store, result))
    assert no_pictures(store, read_result(store, key)) is None
    assert no_pictures(tmp_path, result) == "alpha: committed rows have no pictures here"


# power


def test_power_says_how_many_episodes_it_takes(tmp_path: Path) -> None:
    (one, five) = json.loads(bench("power", "alpha", "--json").stdout)
    assert (one["episodes"], one["images"], one["models"]) == (160, 80, ["alpha"])
    assert one["needed"]["0.01"] > one["needed"]["0.02"] > one["needed"]["0.05"]
    assert five["setting"] == "toy, fixed-v1, 5-shot"
    pair = json.loads(bench("power", "alpha", "beta", "--json").stdout)
    assert pair[0]["models"] == ["alpha", "beta"]
    text = bench("power", "alpha", "--chance", "0.9").stdout
    assert "chance of 90%" in text and "2 points" in text
    assert "one model at a time, not alpha, beta" in refused("power", "toy")
    assert "alpha is named twice; name one" in refused("power", "alpha", "toy/alpha")
    write_run(tmp_path / "results", name="gamma", skill=0.4)
    text = bench("power", "alpha", "gamma").stdout
    assert "toy, fixed-v1, 1-shot, 1 of 4 folds" in text and "detectable difference" in text
    assert "give one model, or two" in refused("power", "alpha", "beta", "alpha")


# results


def repository(folder: Path) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "leaderboards"], ["commit", "-q", "-m", "results"]):
        subprocess.run(["git", "-C", folder, *identity, *arguments], check=True)


def test_results_are_added_checked_and_missed_when_they_vanish(tmp_path: Path) -> None:
    added = bench("results", "add", "alpha").stdout.splitlines()
    assert len(added) == 16 and all(Path(name).is_file() for name in added)
    repository(tmp_path)
    assert "8 results hold, 0 problems" in bench("results", "check").stdout
    Path(added[0]).unlink()
    found = bench("results", "check", code=1)
    assert "toy/fixed-v1/alpha/fold0_1shot is in HEAD and is gone now" in found.stderr
    assert "say why in leaderboards/CHANGES.md" in found.stderr
    assert "7 results hold" in found.stdout


def test_what_may_not_be_committed_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "results", "gamma", folds=3)
    assert "lacks fold 3 of 4; run the other folds first" in refused("results", "add", "gamma")
    assert not (tmp_path / "leaderboards").exists()


def test_a_card_is_yaml() -> None:
    index = yaml.safe_load(bench("results", "card", "alpha").stdout)["model-index"]
    assert [entry["name"] for entry in index] == ["alpha"]
    assert [own["dataset"]["args"]["shots"] for own in index[0]["results"]] == [1, 5]


# leaderboard and report


def test_the_leaderboard_holds_committed_results_and_draws_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    bench("results", "add", "beta")
    text = bench("leaderboard", "--results-root", "nothing", "--plots").stdout
    assert "beta" in text and "alpha" not in text
    assert (tmp_path / "leaderboards/boards/plots/toy-fixed-v1-shots.png").is_file()


def test_the_gallery_shows_what_runs_kept(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    run = ("run", "--datasets", "tiny", "--shots", "2", "--device", "cpu", "--quiet")
    bench(*run, "--model-from", "tests.tiny:ColourModel", "--save-predictions", "--limit", "12")
    bench(*run, "--models", "random", "--limit", "12")
    pages = []
    for _ in range(2):
        bench("leaderboard", "--gallery", "--quiet")
        pages.append((tmp_path / "leaderboards/index.html").read_text())
    assert pages[0] == pages[1]
    text = pages[0].partition('id="pictures">')[2].partition("</script>")[0]
    (place, shown), *others = json.loads(text).items()
    assert (place, others) == ("tiny/fixed-v1-first12/2", [])
    assert [own["title"][:12] for own in shown] == [
        "disc (fold 0", "bar (fold 0,", "corner (fold", "stripe (fold",
    ]  # fmt: skip
    labels = [label for label, _, _ in shown[0]["panels"]]
    assert labels[:4] == ["support 1", "support 2", "query", "truth"]
    assert len(labels) == 5 and labels[4].startswith("ColourModel ")
    assert [model for _, model, _ in shown[0]["panels"]] == [None] * 4 + ["ColourModel"]


def test_a_report_without_the_dataset_has_no_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    done = bench("report", "alpha")
    assert "without sizes and pictures: dataset 'toy' is not prepared" in done.stderr
    pages = [Path(line) for line in done.stdout.splitlines()]
    assert [page.parent.name for page in pages] == [
        "toy_fixed-v1_alpha_1shot",
        "toy_fixed-v1_alpha_5shot",
    ]
    assert sorted(path.name for path in pages[0].parent.iterdir()) == [
        "classes.png",
        "histogram.png",
        "report.html",
    ]


def test_a_report_of_three_numbers_of_shots_has_their_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    write_model(tmp_path / "results", "alpha", skill=0.9, shots=10)
    pages = [Path(line) for line in bench("report", "alpha").stdout.splitlines()]
    assert len(pages) == 3
    for page in pages:
        assert (page.parent / "shots.png").is_file()
        text = page.read_text(encoding="utf-8")
        assert "<td>10-shot</td>" in text and "<td>not by 10</td>" in text


def test_a_report_shows_sizes_and_the_telling_episodes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `plots`)")
    tiny_dataset(tmp_path / "data")
    run = ("run", "--datasets", "tiny", "--shots", "1", "--device", "cpu", "--quiet")
    bench(*run, "--model-from", "tests.tiny:ColourModel", "--save-predictions", "--limit", "30")
    (page,) = (Path(line) for line in bench("report", "tiny").stdout.splitlines())
    names = sorted(path.name for path in page.parent.iterdir())
    assert {"sizes.png", "classes.png", "histogram.png"} < set(names)
    pictures = [name for name in names if name.startswith("fold")]
    assert len(pictures) == 9
    assert page.read_text().count("<img ") == 3 + 9
