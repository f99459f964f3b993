"""One question of the table at toy size: trained and scored in parts, and never twice."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.train.ablation as ablation
import benchmarks.train.questions as questions
from benchmarks.cli import main
from models.methods.diffews.design import Design
from models.methods.diffews.parts import save_parts
from models.methods.diffews.synthetic import untrained_parts
from tests.tiny import tiny_dataset


def test_the_table_is_made_in_parts_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tiny_dataset(tmp_path / "data", images=60, shots=(1, 5))
    source, out, page = tmp_path / "sd", tmp_path / "ablation", tmp_path / "page.md"
    save_parts(untrained_parts("tiny", 0, 2), Design(), source)
    rows = [row for row in questions.ROWS if row.question == "shots"]
    monkeypatch.setattr(ablation, "ROWS", rows)
    names = sorted({row.training for row in rows})
    monkeypatch.setattr(ablation, "TRAININGS", {name: questions.TRAININGS[name] for name in names})
    monkeypatch.setenv("BENCH_DATA", str(dataset.root.parent))
    settings = {"size": "tiny", "train.steps": 1, "train.batch_size": 1, "train.ema": "null"}
    command = ["ablate", "diffews", "-d", dataset.name, "--fold", "0", "--from", str(source)]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    command += ["--seeds", "1", "--limit", "2", "--device", "cpu", "--out", str(out)]
    command += ["--page", str(page), "-q"]

    def ablate(*more: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, [*command, *more])
        assert result.exit_code == code, result.output
        return result.output

    assert "unknown training 'defualt'; did you mean default?" in ablate(
        "--only", "defualt", code=2
    )
    assert not out.exists()
    assert "other rows are missing" in ablate("--only", "default")
    assert not page.exists()
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("last/unet/*.safetensors")}
    assert len(trained) == 1
    ablate()
    assert all(path.stat().st_mtime_ns == then for path, then in trained.items())
    table = json.loads((out / "ablation.json").read_text())
    assert [row["answer"] for row in table["rows"]] == [row.answer for row in rows]
    assert all(0 <= score <= 1 for row in table["rows"] for score in row["scores"])
    assert table["job"]["train"]["steps"] == 1
    save_parts(untrained_parts("tiny", 1, 2), Design(), tmp_path / "another")
    assert "it was begun with source=" in ablate("--from", str(tmp_path / "another"), code=2)
    ablate("--set", "train.save_every=7")
    before = page.read_bytes()

    def never(*args: object, **named: object) -> None:
        raise AssertionError("there is nothing to train or score")

    monkeypatch.setattr(ablation, "run_job", never)
    monkeypatch.setattr(ablation, "run_matrix", never)
    ablate()
    assert page.read_bytes() == before
