"""The loop on two numbers: stopped between any two writings, it ends where it would have."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.errors import BenchError
from benchmarks.train.config import TrainConfig
from benchmarks.train.diffews import DiffewSStage
from benchmarks.train.pretraining import DenoiserStage, VaeStage
from benchmarks.train.trainable import Stage, Validation
from benchmarks.train.trainer import place, train
from datasets_prep.runtime.progress import Silent
from models.methods.diffews import Design
from models.methods.diffews.synthetic import random_parts
from models.methods.diffews.training.objective import DiffewSLoss

QUIET = Silent()


class Line(nn.Module):
    """A slope and a height that learn to be 2 and 1, unless the batch has it otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        found = self.weight[0] * batch["x"] + self.weight[1]
        return (found - 2 * batch["x"] - 1).square().mean()


class LineStage:
    """Its checkpoint is a file with both numbers; its score is higher the nearer they are."""

    def __init__(self, broken_at: int | None = None) -> None:
        self.line = Line()
        self.objective: nn.Module = self.line
        self.frozen: Sequence[nn.Module] = ()
        self._broken_at = broken_at

    def describe(self) -> Mapping[str, object]:
        return {}

    def draw(self, step: int, count: int) -> Sequence[float]:
        return [float("nan") if step == self._broken_at else step + i / count for i in range(count)]

    def prefetch(self, samples: Sequence[float]) -> None:
        pass

    def collate(self, samples: Sequence[float]) -> Mapping[str, Tensor]:
        return {"x": torch.tensor(samples).sin()}

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "line").write_text(str(self.line.weight.tolist()))

    def validate(self, pictures: Path) -> Validation:
        away = self.line.weight.detach() - torch.tensor([2.0, 1.0])
        return Validation(-float(away.norm()), "nearness")


def run(out: Path, resume: bool = False, **changes: object) -> None:
    settings = {"steps": 3, "batch_size": 2, "rate": 0.1, "ema": 0.5, "save_every": 2}
    config = TrainConfig(**{**settings, "validate_every": 2, **changes})
    train(LineStage(), config, out, QUIET, device="cpu", resume=resume)


def left(out: Path) -> dict[str, str]:
    return {name: (out / name / "line").read_text() for name in ("last", "best")}


@contextmanager
def killed_before(renaming: int) -> Iterator[None]:
    """Within, whoever wants to rename for the n-th time, counted from 0, dies instead."""
    count = itertools.count()

    def mortal(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def renamed(self: Path, target: Path) -> Path:
            if next(count) == renaming:
                raise KeyboardInterrupt
            return rename(self, target)

        return renamed

    with pytest.MonkeyPatch.context() as patched:
        for name in ("rename", "replace"):
            patched.setattr(Path, name, mortal(getattr(Path, name)))
        yield


def test_killed_at_any_writing_it_ends_the_same(tmp_path: Path) -> None:
    """All but the log is written beside its place and renamed."""
    run(tmp_path / "whole")
    expected = left(tmp_path / "whole")
    for renaming in itertools.count():
        out = tmp_path / f"killed{renaming}"
        try:
            with killed_before(renaming):
                run(out)
        except KeyboardInterrupt:
            run(out, resume=True)
            assert left(out) == expected, renaming
        else:
            break
    assert renaming == 9  # settings; best, last and state; the same, and two put aside


def test_a_checkpoint_that_was_being_replaced_comes_back(tmp_path: Path) -> None:
    run(tmp_path)
    before = left(tmp_path)
    for name in ("last", "best"):
        (tmp_path / name).rename(tmp_path / f".{name}.old")
    run(tmp_path, resume=True)
    assert left(tmp_path) == before


def test_a_loss_that_is_not_finite_says_what_to_do(tmp_path: Path) -> None:
    config = TrainConfig(steps=5, batch_size=2)
    with pytest.raises(BenchError, match="loss of step 3 is nan; train anew in another --out"):
        train(LineStage(broken_at=3), config, tmp_path, QUIET, device="cpu")


def test_cuda_without_a_gpu_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with pytest.raises(BenchError, match="--device cuda: torch sees no GPU here"):
        train(LineStage(), TrainConfig(), tmp_path, QUIET, device="cuda")


@pytest.mark.parametrize("name", ["vae", "unet", "diffews"])
def test_all_that_a_stage_computes_with_is_moved(name: str) -> None:
    choices = {"interaction": "tokenized_cross_attention", "mask_injection": "addition"}
    design = Design(**choices)
    parts = random_parts("tiny", 0, 2, torch.float32, design)
    # No data is asked for.
    pool: Any = None
    stage: Stage
    if name == "vae":
        stage, networks = VaeStage(parts, pool, {}, 8), [parts.vae]
    elif name == "unet":
        stage, networks = DenoiserStage(parts, pool, {}), [parts.vae, parts.unet]
    else:
        stage = DiffewSStage(parts, DiffewSLoss(parts, design), *[pool] * 7, seed=0)
        networks = [parts.vae, parts.unet, parts.tokens]
    place(stage, torch.device("meta"))
    assert {w.device.type for network in networks for w in network.parameters()} == {"meta"}
