"""The table of design questions: every row is asked, and the page says what disagrees."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchError
from benchmarks.train.questions import ROWS, TRAININGS
from leaderboards.tables.design import design_page, mean, write_design_page
from models.methods.diffews.design import Design


def table(**better: float) -> dict[str, Any]:
    """A table in which every answer scores 0.2, 0.21, 0.22, but for those named."""
    rows = [
        {
            "question": row.question,
            "answer": row.answer,
            "training": row.training,
            "shots": row.shots,
            "options": dict(row.options),
            "scores": [better.get(row.training, 0.2) + 0.01 * seed for seed in range(3)],
        }
        for row in ROWS
    ]
    job = {
        "resolution": 64,
        "augment": True,
        "copies": 0.33,
        "train_tokens": True,
        "denoising_steps": 5,
        "train": {"steps": 10, "batch_size": 8, "ema": None},
    }
    return {
        "dataset": "shapes",
        "dataset_digest": "d" * 64,
        "started_from": "c" * 64,
        "fold": 0,
        "protocol": "fixed-v1",
        "episodes": 300,
        "episode_digests": ["e" * 64],
        "job": job,
        "rows": rows,
    }


def test_every_answer_of_every_question_has_a_row() -> None:
    designs = [Design.of({}, choices) for choices in TRAININGS.values()]
    for question, field in Design.model_fields.items():
        wanted = set(field.annotation.__args__)  # type: ignore[union-attr]
        assert {getattr(design, question) for design in designs} == wanted
    assert {row.training for row in ROWS} == set(TRAININGS)


def test_an_order_that_disagrees_is_reported() -> None:
    page = design_page(table(default=0.5, mn2m=0.9, **{"n-shot": 0.8, "mi2m-strong": 0.4}))
    line = r"\| oi2m > mi2m \(β 0.0272–0.384\) +\| +\+10.0 \(\+10.0 to \+10.0\) +\| agrees"
    assert re.search(line, page)
    assert re.search(r"0.012\) > mn2m +\| +-70.0 \(-70.0 to -70.0\) \| \*\*disagrees\*\*", page)
    assert "In order here: mn2m > oi2m > mi2m (β 0.0272–0.384) > mi2m (β 0.00085–0.012)." in page
    assert (
        "**Of the paper's 17 comparisons, 11 hold here beyond the noise of training, "
        "5 are undecided, 1 come out the other way.**"
    ) in page


def test_what_the_noise_of_training_covers_is_undecided() -> None:
    body = table(default=0.3)
    for row in body["rows"]:
        if row["training"] == "real-fg":
            row["scores"] = [0.10, 0.29, 0.33]
    page = design_page(body)
    assert re.search(r"white_fg_black_bg > real_fg_black_bg +\| +\+7\.0 \(.*\| undecided", page)


def test_the_interval_is_students() -> None:
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.half == pytest.approx(2.4841, abs=1e-4)
    assert mean([1.0]).half is None


def test_another_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "ablation.json"
    source.write_text(json.dumps({"rows": []}))
    with pytest.raises(BenchError, match="is not a table of bench ablate"):
        write_design_page(source, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
