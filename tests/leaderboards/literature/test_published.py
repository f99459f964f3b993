"""The literature's numbers: whole, consistent, and never ranked."""

from pathlib import Path
from statistics import fmean

import pytest
from pydantic import ValidationError

from benchmarks.protocols.catalog import PROTOCOLS
from leaderboards.build import build
from leaderboards.literature.numbers import Published, Reported, measured, published, reported
from leaderboards.literature.table import beside
from leaderboards.statistics.scores import settings
from tests.leaderboards.synthetic import write_model


def numbers(dataset: str, method: str, setting: str) -> list[Reported]:
    return [
        n
        for n in reported()
        if (n.entry.dataset, n.entry.method, n.entry.setting) == (dataset, method, setting)
    ]


def test_every_name_in_the_file_is_known() -> None:
    file = published()
    for entry in file.results:
        assert set(entry.source) <= file.sources.keys(), entry
        assert entry.protocol in file.protocols, entry
        assert entry.miou or entry.fb_iou, entry
        assert entry.folds.keys() <= entry.miou.keys(), entry
    used = {name for entry in file.results for name in entry.source}
    assert used == file.sources.keys()
    assert {entry.protocol for entry in file.results} == file.protocols.keys()
    assert {protocol.ours for protocol in file.protocols.values()} - {None} <= PROTOCOLS.keys()


def test_a_number_stands_once() -> None:
    names = [
        (n.entry.method, n.entry.variant, n.entry.dataset, n.entry.setting, n.entry.protocol,
         n.shots)
        for n in reported()
    ]  # fmt: skip
    assert len(names) == len(set(names)) > 200


def test_folds_make_the_printed_mean_or_a_note_says_otherwise() -> None:
    for number in reported():
        if number.folds and number.miou is not None:
            off = abs(fmean(number.folds) - number.miou)
            assert off <= 0.1 or "mean of the printed folds" in number.entry.note, number


@pytest.mark.parametrize(
    ("dataset", "method", "setting", "miou"),
    [
        ("coco", "DiffewS", "strict", [51.2, 56.0]),
        ("coco", "DiffewS", "generalist", [71.3, 72.2]),
        ("coco", "DiffewS-n", "strict", [52.2, 60.7]),
        ("pascal", "DiffewS", "generalist", [88.3, 87.8]),
        ("lvis", "DiffewS", "generalist", [31.4, 35.4]),
        ("lvis", "DiffewS", "strict", [33.9, 43.7]),
        ("fss1000", "DiffewS", "strict", [90.2, 90.6]),
        ("pascal", "BAM", "strict", [67.81, 70.91]),
        ("coco", "HDMNet", "strict", [50.0, 56.0]),
        ("coco", "Matcher", "generalist", [52.72, 60.72]),
        ("coco2pascal", "RePRI", "strict", [63.2, 67.7]),
        ("chestxray", "APSeg", "strict", [84.10, 84.50]),
        ("deepglobe", "PANet", "strict", [36.55, 45.43]),
        ("isaid", "INSID3", "generalist", [52.1]),
        ("coco", "SANSA", "strict", [60.2, 67.3]),
        ("coco", "FSSAM", "strict", [62.3, 69.3]),
        ("coco", "HMNet", "strict", [52.1, 58.9]),
        ("coco", "DC-SAM", "strict", [55.5]),
        ("coco", "FSS-SAM3", "generalist", [66.6, 71.8]),
        ("coco", "FSS-SAM3 + text", "text-prompted", [75.8, 75.1]),
    ],
)
def test_numbers_are_those_of_the_papers(
    dataset: str, method: str, setting: str, miou: list[float]
) -> None:
    assert [n.miou for n in numbers(dataset, method, setting)] == miou


@pytest.mark.parametrize(
    "change",
    [
        {"miou": {1: 640}},
        {"miou": {0: 64}},
        {"setting": "in-context"},
        {"source": []},
        {"surprise": 1},
    ],
)
def test_a_slip_of_the_pen_is_refused(change: dict) -> None:
    file = published().model_dump()
    file["results"] = [{**dict(file["results"][0]), **change}]
    with pytest.raises(ValidationError):
        Published.model_validate(file)


def test_a_measured_row_stands_beside_the_number_that_it_answers(tmp_path: Path) -> None:
    (number,) = (n for n in numbers("pascal", "HSNet", "strict") if n.miou == 64.0)

    def board(skill: float, **changes: object) -> str:
        write_model(
            tmp_path / "results", "hsnet", dataset="pascal", protocol="hsnet", skill=skill,
            **changes,
        )  # fmt: skip
        built = build(tmp_path / "results", tmp_path)
        text = beside(number, built.settings)
        assert text in (tmp_path / "boards/pascal.md").read_text()
        assert text in (tmp_path / "boards/reported.md").read_text()
        return text

    far = board(0.5)
    assert "outside the interval" in far and ", -" in far
    near = board(0.8)
    assert ", within the interval" in near
    assert board(0.8, sees_test_classes="yes") == "–"
    assert board(0.8, comparable=False) == "–"


def test_another_protocol_or_shot_answers_nothing(tmp_path: Path) -> None:
    (number,) = (n for n in numbers("pascal", "HSNet", "strict") if n.miou == 64.0)
    write_model(tmp_path / "results", "hsnet", dataset="pascal", protocol="fixed-v1")
    write_model(tmp_path / "results", "hsnet", dataset="pascal", protocol="hsnet", shots=5)
    write_model(tmp_path / "results", "bam", dataset="pascal", protocol="bam")
    built = build(tmp_path / "results", tmp_path)
    assert measured(number, built.settings) is None
    assert measured(number, settings([])) is None


def test_published_numbers_are_never_ranked(tmp_path: Path) -> None:
    write_model(tmp_path / "results", "mine", dataset="pascal", protocol="hsnet", skill=0.2)
    built = build(tmp_path / "results", tmp_path)
    text = (tmp_path / "boards/pascal.md").read_text()
    ranked, _, literature = text.partition("## Reported in the literature")
    assert "| mine" in ranked and "HSNet (ResNet-50)" not in ranked
    assert "HSNet (ResNet-50)" in literature and "| mine" not in literature
    assert "HSNet (ResNet-50)" not in built.text


def test_a_conflict_between_sources_is_noted_under_the_table(tmp_path: Path) -> None:
    build(tmp_path / "results", tmp_path)
    text = (tmp_path / "boards/reported.md").read_text()
    assert "the DiffewS paper prints 15.6" in text
    assert "the AENet paper prints 49.6 and 55.3" in text
    assert "the mean of the printed folds is 51.45" in text
