"""What a training leaves to look at, and what it asks for where a package is missing."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.errors import BenchError
from benchmarks.train.config import TrainConfig
from benchmarks.train.job import settings
from benchmarks.train.log import TrainLog
from benchmarks.train.trainer import train
from datasets_prep.runtime.progress import Silent
from tests.benchmarks.train.test_trainer import LineStage


def test_what_an_interrupted_run_wrote_beyond_its_state_is_dropped(tmp_path: Path) -> None:
    first = TrainLog(tmp_path, 0)
    for step in (1, 2, 3):
        first.step(step, 1 / step, 0.1, 1.0, 0.5)
        first.score(step, "mIoU", 0.1 * step)
    with (tmp_path / "log.csv").open("a") as torn:
        torn.write("4,0.2")
    again = TrainLog(tmp_path, 2)
    again.step(3, 0.25, 0.1, 1.0, 0.5)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = [(row["step"], row["loss"]) for row in csv.DictReader(file)]
    assert rows == [("1", "1.0"), ("2", "0.5"), ("3", "0.25")]
    scores = (tmp_path / "validation.csv").read_text().split()
    assert scores == ["step,mIoU", "1,0.1", "2,0.2"]


@pytest.mark.parametrize("left", ["", "step,lo", "step,loss,rate,gradient_norm,seconds\r\n"])
def test_a_log_without_a_whole_row_begins_anew(left: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(left, newline="")
    TrainLog(tmp_path, 0).step(1, 0.5, 0.1, 1.0, 0.5)
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [(row["step"], row["loss"]) for row in csv.DictReader(file)] == [("1", "0.5")]


def test_tensorboard_hears_the_same_and_forgets_what_is_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[object, ...]] = []

    class Writer:
        def __init__(self, folder: Path, purge_step: int) -> None:
            heard.append((folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            heard.append((name, value, step))

        def close(self) -> None:
            heard.append(("closed",))

    fake = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    log = TrainLog(tmp_path, 6, tensorboard=True)
    log.step(7, 0.5, 0.1, 1.0, 2.0)
    log.score(7, "held-out mIoU", 0.25)
    log.close()
    assert heard == [
        (tmp_path / "tensorboard", 7),
        ("loss", 0.5, 7),
        ("rate", 0.1, 7),
        ("validation/held-out mIoU", 0.25, 7),
        ("closed",),
    ]


def test_real_events_can_be_read_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard comes with the extra train")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TrainLog(tmp_path, 0, tensorboard=True)
    log.step(1, 0.5, 0.1, 1.0, 2.0)
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5)]


@pytest.mark.parametrize(
    ("module", "config", "tensorboard", "said"),
    [
        ("torch.utils.tensorboard", {}, True, r"pip install 'fss-bench\[train\]'"),
        ("bitsandbytes.optim", {"adam8bit": True}, False, "pip install bitsandbytes"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    config: dict[str, bool],
    tensorboard: bool,
    said: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    if module.startswith("bitsandbytes"):
        monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    wanted = TrainConfig(steps=1, **config)
    with pytest.raises(BenchError, match=said):
        train(LineStage(), wanted, tmp_path, Silent(), device="cpu", tensorboard=tensorboard)


def test_all_settings_are_listed_with_their_defaults() -> None:
    done = CliRunner().invoke(main, ["train", "diffews", "--list-settings"])
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    listed = {words[0]: words for words in lines if words}
    assert set(settings()) | {"coco20i", "pascal5i", "tiny-vae"} <= set(listed)
    assert listed["resolution"][1] == "512" and listed["train.batch_size"][1] == "16"
