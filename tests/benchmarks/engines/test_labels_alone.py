"""A dataset prepared without images: for models that read no pixels, bound to its labels."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import LeftOut, run_matrix
from benchmarks.results.store import Result, read_result
from datasets_prep.builder import Content, Workspace
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from leaderboards.committed.collect import agreeing
from leaderboards.statistics.comparison import compare
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import Tiny, TinyOptions, tiny_config

FLOOR = {"name": "copy-support-mask", "model": "copy-support-mask"}
COLOUR = {"name": "colour", "model": "tests.tiny:ColourModel"}


class Whole(Tiny):
    """Its labels have a digest of their own."""

    def build(self, workspace: Workspace) -> Content:
        return replace(super().build(workspace), labels_digest=True)


class Labels(Whole):
    """The same without images."""

    def build(self, workspace: Workspace) -> Content:
        content = super().build(workspace)
        images = (replace(record, image=None, image_sha256="") for record in content.images)
        return replace(content, images=images)


class OtherName(Tiny):
    """The whole under another name."""

    name = dataset = "other"


def config(root: Path, builder: type[Tiny], *models: dict[str, str]) -> BenchConfig:
    prepare(builder(TinyOptions(images=24)), PrepareOptions(root / "data", shots=(1, 2)))
    return tiny_config(root, models=list(models), datasets=[{"name": "tiny", "shots": [1]}])


def run(root: Path, builder: type[Tiny], *models: dict[str, str]) -> list[Result]:
    wanted = config(root, builder, *models)
    outcomes = run_matrix(wanted, listener=Quiet())
    return [read_result(wanted.results_root, outcome.key) for outcome in outcomes]


def test_what_reads_no_pixels_gives_the_same_without_them(tmp_path: Path) -> None:
    *whole, colour, _ = run(tmp_path / "whole", Whole, FLOOR, COLOUR)
    labels = run(tmp_path / "labels", Labels, FLOOR)
    assert len(labels) == len(whole) == 2
    for mine, theirs in zip(labels, whole, strict=True):
        assert mine.counts.areas.tolist() == theirs.counts.areas.tolist()
        assert mine.record.setup == theirs.record.setup
        data = mine.record.setup.dataset
        assert data.digest == data.labels_digest
        assert data.digest == colour.record.setup.dataset.labels_digest
        assert data.digest != colour.record.setup.dataset.digest


def test_results_bound_to_labels_stand_beside_those_of_the_whole(tmp_path: Path) -> None:
    colour = run(tmp_path / "whole", Whole, COLOUR)
    labels = run(tmp_path / "labels", Labels, FLOOR)
    kept, left_out = agreeing([*colour, *labels])
    assert len(kept) == 4
    assert left_out == []
    assert compare(colour, labels).folds == (0, 1)
    other = [_on_other_labels(result) for result in labels]
    kept, left_out = agreeing([*colour, *other], reference=colour)
    assert [out.key.model for out in left_out] == ["copy-support-mask"] * 2
    assert "set of labels and lists" in left_out[0].reason


def _on_other_labels(result: Result) -> Result:
    setup = result.record.setup
    data = setup.dataset.model_copy(update={"digest": "f" * 64, "labels_digest": "f" * 64})
    setup = setup.model_copy(update={"dataset": data})
    return replace(result, record=result.record.model_copy(update={"setup": setup}))


def test_what_reads_pixels_is_refused_in_one_line(tmp_path: Path) -> None:
    wanted = config(tmp_path, Labels, COLOUR)
    with pytest.raises(LeftOut, match="colour reads pixels, but dataset 'tiny'") as raised:
        run_matrix(wanted, listener=Quiet())
    assert "\n" not in str(raised.value)


def test_it_is_left_out_on_the_labels_alone(tmp_path: Path) -> None:
    config(tmp_path, Labels)
    wanted = config(tmp_path, OtherName, COLOUR)
    datasets = [{"name": name, "shots": [1]} for name in ("tiny", "other")]
    wanted = wanted.model_validate({**dict(wanted), "datasets": datasets})
    with pytest.raises(LeftOut, match=r"^colour reads pixels.*'tiny'[^\n]*$") as raised:
        run_matrix(wanted, listener=Quiet())
    found = [(own.key.dataset, own.status) for own in raised.value.outcomes]
    assert found == [("tiny", "left out")] * 2 + [("other", "measured")] * 2
