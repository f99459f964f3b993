"""mIoU by object size: from the counts of the floor that marks everything, on the boards."""

import numpy as np
import pytest

from benchmarks import EpisodeCounts, Result
from benchmarks.results.store import RunKey
from leaderboards.page.html import board_data
from leaderboards.statistics.scores import Setting, settings
from leaderboards.statistics.seen import Training
from leaderboards.statistics.sizes import (
    BANDS,
    episodes_by_size,
    miou_by_size,
    object_shares,
)
from leaderboards.tables.boards import dataset_page
from tests.leaderboards.synthetic import make_record, make_rows, make_setup, query_names

# Of 400 pixels; the last query does not hold the class.
TRUTHS = np.array([10, 19, 20, 59, 60, 399, 16, 0])


def result(name: str, fold: int, hits: np.ndarray, marked: np.ndarray) -> Result:
    kind = "floor" if name == "all-foreground" else "model"
    setup = make_setup(name=name, fold=fold, kind=kind, count=len(TRUTHS), folds=2)
    rows = make_rows(setup)
    union = TRUTHS + marked - hits
    areas = np.stack([hits, union, 400 - union, 400 - hits], axis=1)
    classes = np.array([row.class_id for row in rows])
    counts = EpisodeCounts(np.arange(len(TRUTHS)), classes, areas)
    key = RunKey("toy", "fixed-v1", name, fold, 1)
    return Result(key, make_record(setup, rows), counts, tuple(query_names(len(TRUTHS))), None)


def floor(fold: int) -> Result:
    return result("all-foreground", fold, TRUTHS, np.full(len(TRUTHS), 400))


def half(fold: int) -> Result:
    return result("half", fold, TRUTHS // 2, TRUTHS // 2)


@pytest.fixture
def setting() -> Setting:
    (own,) = settings([*map(floor, (0, 1)), *map(half, (0, 1))])
    return own


def test_the_floor_that_marks_everything_tells_the_sizes(setting: Setting) -> None:
    assert object_shares(setting)[1].tolist() == (TRUTHS / 400).tolist()
    assert [band.name for band in BANDS] == ["below 5%", "5 to 15%", "15% and more"]
    assert episodes_by_size(setting) == [6, 4, 4]  # an absent object is in none


def test_a_band_is_the_miou_of_its_episodes(setting: Setting) -> None:
    rows = {row.model.name: row for row in setting.rows}
    # Episodes alternate between two classes: 10 and 16 are of one, 19 of the other.
    small = ((5 + 8) / (10 + 16) + 9 / 19) / 2
    medium = (10 / 20 + 29 / 59) / 2
    large = (30 / 60 + 199 / 399) / 2
    assert miou_by_size(setting, rows["half"]) == pytest.approx([small, medium, large])
    everything = miou_by_size(setting, rows["all-foreground"])
    assert everything[1] == pytest.approx((20 / 400 + 59 / 400) / 2)


def test_nothing_is_said_where_sizes_are_not_known() -> None:
    (without,) = settings(map(half, (0, 1)))
    assert miou_by_size(without, without.rows[0]) == []
    (partly,) = settings([floor(0), *map(half, (0, 1))])
    whole = {row.model.name: miou_by_size(partly, row) for row in partly.rows}
    assert whole["half"] == [] and len(whole["all-foreground"]) == 3


def test_boards_show_it_where_it_is_known(setting: Setting) -> None:
    page = dataset_page([setting], (), (), Training())
    assert "mIoU by the share of its image that the object covers:" in page
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    assert ["Model", "below 5% (6)", "5 to 15% (4)", "15% and more (4)"] in table
    assert ["half", "48.7", "49.6", "49.9"] in table
    rows = {row["name"]: row for row in board_data([setting], ())["settings"][0]["rows"]}
    facts = rows["half"]["provenance"]["facts"]
    assert facts["mIoU by object size"] == "below 5% 48.7, 5 to 15% 49.6, 15% and more 49.9"
    (without,) = settings(map(half, (0, 1)))
    assert "covers:" not in dataset_page([without], (), (), Training())
