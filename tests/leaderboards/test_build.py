"""The pages as a reader sees them."""

import re
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.pictures.panel import Panel, Shown
from leaderboards.build import Built, build
from tests.leaderboards.synthetic import CLASSES, write_model, write_run
from tests.leaderboards.tables.test_pictures import BLUE, RED, jpeg

EPISODE = Shown(
    "disc (fold 0, episode 0)",
    (Panel("query", jpeg(RED)), Panel("alpha 60", jpeg(BLUE), "alpha")),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    for shots in (1, 5):
        write_model(root, "dense-nn", skill=0.7, shots=shots, title="Dense | matching")
        write_model(root, "prototype", skill=0.6, seed=2, shots=shots)
        write_model(root, "random", skill=0.3, shots=shots, kind="floor", parameters=0)
    hardware = {"hardware": "Toy GPU"}
    write_model(
        root, "giant", skill=0.9, sees_test_classes="yes", parameters=354_000_000, record=hardware
    )
    write_model(root, "halfway", skill=0.95, folds=2)
    write_model(root, "quick", count=20, limit=20)
    write_model(root, "stale", digest="f" * 64)
    write_run(root, dataset="one", folds=1, protocol="hsnet", classes=dict(enumerate(CLASSES)))
    return root


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(root, tmp_path_factory.mktemp("boards"))


def page(built: Built, name: str) -> str:
    (path,) = (path for path in built.files if path.name == name)
    return path.read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """From a heading to the next one."""
    start = text.index(f"### {heading}\n") if f"### {heading}\n" in text else text.index(heading)
    return re.split(r"\n#{2,3} ", text[start:])[0]


def cells(text: str, head: str = "#") -> list[dict[str, str]]:
    """The rows of every table whose first column is `head`."""
    rows: list[dict[str, str]] = []
    names: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            names = []
            continue
        values = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not names:
            names = values
        elif names[0] == head and not set(line) <= set("|:-"):
            rows.append(dict(zip(names, values, strict=True)))
    return rows


def test_building_twice_writes_the_same_bytes(root: Path, built: Built, tmp_path: Path) -> None:
    again = build(root, tmp_path)
    assert again.text == built.text
    assert [path.name for path in again.files] == [path.name for path in built.files]
    for old, new in zip(built.files, again.files, strict=True):
        assert old.read_bytes() == new.read_bytes()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in again.files) == [
        "README.md",
        "boards/board.json",
        "boards/one.md",
        "boards/reported.md",
        "boards/toy.md",
        "index.html",
    ]


def test_pages_of_datasets_that_left_the_board_go(root: Path, tmp_path: Path) -> None:
    boards = tmp_path / "boards"
    built = build(root, tmp_path, gallery={("one", "hsnet", 1): [EPISODE]})
    sheet = boards / "pictures/one-hsnet-1shot.jpg"
    assert sheet in built.files and boards / "pictures.md" in built.files
    (boards / "diffews-design.md").write_text("# DiffewS: the design questions\n")
    store = tmp_path / "results-of-toy"
    write_model(store, "alpha")
    built = build(store, tmp_path)
    left = {path.relative_to(boards).as_posix() for path in boards.rglob("*") if path.is_file()}
    assert left == {
        "board.json", "diffews-design.md", "gallery.json", "reported.md", "toy.md",
    }  # fmt: skip


def test_links_between_the_pages_lead_somewhere(built: Built) -> None:
    linked = set()
    for path in built.files:
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
                linked.add((path.parent / target).resolve())
    assert len(linked) >= 5
    assert linked <= {path.resolve() for path in built.files}


def test_rows_are_sorted_by_miou_and_only_comparable_ones_are_ranked(built: Built) -> None:
    rows = cells(section(page(built, "toy.md"), "1-shot"))
    assert [(row["#"], row["Model"]) for row in rows] == [
        ("1", "dense-nn"),
        ("2", "prototype"),
        ("–", "random (floor)"),
        ("–", "halfway (2 of 4 folds)"),
        ("1", "giant"),
    ]
    assert float(rows[0]["mIoU (95%)"][:4]) > float(rows[1]["mIoU (95%)"][:4])


def test_strict_and_generalist_models_have_tables_of_their_own(built: Built) -> None:
    text = section(page(built, "toy.md"), "1-shot")
    strict, general = text.split("**Generalist")
    assert "| dense-nn" in strict and "| giant" not in strict
    assert "| giant" in general and "| dense-nn" not in general
    assert "**Generalist" not in section(page(built, "toy.md"), "5-shot")


def test_a_row_shows_what_was_measured(built: Built) -> None:
    row = cells(section(page(built, "toy.md"), "1-shot"))[0]
    (setting,) = (s for s in built.settings if s.dataset == "toy" and s.shots == 1 and not s.limit)
    dense = setting.rows[1]
    for fold in range(4):
        assert row[f"fold {fold}"] == f"{100 * dense.folds[fold].miou.value:.1f}"
    for column, figure in (("mIoU (95%)", dense.miou), ("FB-IoU (95%)", dense.fb_iou)):
        assert figure is not None
        low, high = 100 * figure.interval.low, 100 * figure.interval.high
        assert row[column] == f"{100 * figure.value:.1f} ({low:.1f}–{high:.1f})"
    assert row["ms"] == "70.0"  # (0.6 s / 20 images × 80 + 0.4 s) / 40 episodes


def test_a_lacking_fold_leaves_a_gap_and_no_mean(built: Built) -> None:
    row = cells(section(page(built, "toy.md"), "1-shot"))[3]
    assert row["mIoU (95%)"] == row["FB-IoU (95%)"] == row["fold 2"] == row["fold 3"] == "–"
    assert re.fullmatch(r"\d\d\.\d", row["fold 0"])


def test_a_cut_list_has_a_table_of_its_own(built: Built) -> None:
    text = page(built, "toy.md")
    heading = "1-shot, only the first 20 episodes of each list, not comparable"
    rows = cells(section(text, heading))
    assert [(row["#"], row["Model"]) for row in rows] == [("–", "quick")]
    assert "quick" not in section(text, "1-shot")


def test_the_page_says_what_fixes_its_numbers(built: Built) -> None:
    text = page(built, "toy.md")
    assert "8 test classes in 4 folds (derived lists), dataset digest `dddddddd`" in text
    assert "- Resolution: original" in text
    assert "- Seed: sha256 of dataset, fold and class" in text
    assert "- Classes that no episode drew: left out" in text
    lists = cells(text, "List")
    assert [row["List"] for row in lists] == ["1-shot", "5-shot", "1-shot, cut"]
    assert lists[1]["fold 2"] == "40 `25eeeeee`"
    assert lists[2]["fold 2"] == "20 `21eeeeee`"
    assert "- Resolution: 400×400, squashed" in page(built, "one.md")


def test_the_details_say_who_and_on_what(built: Built) -> None:
    rows = {row["Model"]: row for row in cells(page(built, "toy.md"), "Model")}
    assert rows["dense-nn"] == {
        "Model": "dense-nn",
        "What it is": "Dense &#124; matching",
        "Shots": "1, 5",
        "Parameters": "1.2M",
        "Weights": "abababab",
        "Test classes seen": "0 of 8",
        "Text prompts": "no",
        "Device": "Toy CPU, 2 cores",
        "dtype": "fp32",
        "Date": "2026-11-02",
    }
    assert rows["giant"]["Parameters"] == "354.0M"
    assert rows["giant"]["Device"] == "Toy GPU"
    assert "quick (first 20)" in rows


def test_what_is_left_out_is_named_with_both_digests(built: Built) -> None:
    line = (
        "toy/fixed-v1/stale fold0_1shot, fold1_1shot, fold2_1shot, fold3_1shot: measured on "
        "dataset ffffffffffffffff, the board's is dddddddddddddddd; measure it again"
    )
    for text in (page(built, "README.md"), page(built, "toy.md"), built.text):
        assert line in text
    assert "Left out" not in page(built, "one.md")
    assert len(built.left_out) == 4


def test_the_overview_leads_to_the_best_of_every_setting(built: Built) -> None:
    rows = cells(page(built, "README.md"), "Dataset")
    assert [(row["Dataset"], row["Protocol"], row["Shots"], row["Rows"]) for row in rows] == [
        ("[one](boards/one.md)", "hsnet", "1", "1"),
        ("[toy](boards/toy.md)", "fixed-v1", "1", "5"),
        ("[toy](boards/toy.md)", "fixed-v1", "5", "3"),
    ]
    assert rows[1]["Best strict"].startswith("dense-nn ")
    places = cells(section(page(built, "toy.md"), "1-shot"))
    (rank,) = (row["#"] for row in places if row["Model"].startswith("dense-nn"))
    assert rows[1]["Best strict"].endswith(f", rank {rank}") == ("–" in rank)
    assert rows[1]["Best generalist"].startswith("giant ")
    assert rows[2]["Best generalist"] == "–"


def test_a_single_fold_has_no_column_and_many_have_a_table(built: Built, tmp_path: Path) -> None:
    assert "fold 0" not in cells(section(page(built, "one.md"), "1-shot"))[0]
    for fold in range(10):
        write_run(tmp_path / "results", fold=fold, folds=10)
    text = page(build(tmp_path / "results", tmp_path), "toy.md")
    assert "fold 0" not in cells(section(text, "1-shot"))[0]
    (row,) = cells(section(text, "1-shot"), "Model")
    assert list(row) == ["Model", *map(str, range(10))]
    assert all(re.fullmatch(r"\d\d\.\d", row[str(fold)]) for fold in range(10))


def test_the_terminal_gets_every_table(built: Built) -> None:
    assert "toy, fixed-v1, 1-shot\n" in built.text
    assert "toy, fixed-v1, 1-shot, only the first 20 episodes" in built.text
    assert "one, hsnet, 1-shot\n" in built.text
    assert "halfway (2 of 4 folds)" in built.text


def test_a_model_of_one_fold_shows_what_it_has_there(tmp_path: Path) -> None:
    write_run(tmp_path / "results", name="alone", fold=2, trained_fold=2)
    built = build(tmp_path / "results", tmp_path / "boards")
    score = built.settings[0].rows[0].folds[2].miou
    assert f"fold 2: {100 * score.value:.1f} (" in built.text


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    built = build(tmp_path / "nowhere", tmp_path / "boards")
    assert "bench run" in built.text
    assert "There are no results yet" in page(built, "README.md")


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "boards").write_text("a file")
    with pytest.raises(BenchError, match=r"cannot write .*README\.md"):
        build(tmp_path / "nowhere", tmp_path / "boards")
