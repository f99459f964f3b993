"""The loop on two numbers: stopped between any two writings, it ends where it would have."""

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from benchmarks.errors import BenchError
from benchmarks.train import pretraining
from benchmarks.train.config import TrainConfig
from benchmarks.train.diffews import DiffewSStage
from benchmarks.train.draw import Variant
from benchmarks.train.images import ImageSample
from benchmarks.train.pretraining import DenoiserStage, VaeStage
from benchmarks.train.state import write_state
from benchmarks.train.trainable import Stage, Validation
from benchmarks.train.trainer import piece_size, place, train
from datasets_prep.runtime.progress import Silent
from models.methods.diffews import Design
from models.methods.diffews.synthetic import random_parts, untrained_parts
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


def test_a_resumed_training_may_be_cut_and_saved_otherwise(tmp_path: Path) -> None:
    run(tmp_path / "whole", batch_size=4)
    with pytest.raises(KeyboardInterrupt), killed_before(5):
        run(tmp_path / "other", batch_size=4)
    free = {"accumulate": 2, "save_every": 1, "gradient_checkpointing": True}
    run(tmp_path / "other", resume=True, batch_size=4, **free)
    expected, found = left(tmp_path / "whole"), left(tmp_path / "other")
    assert json.loads(found["last"]) == pytest.approx(json.loads(expected["last"]))
    with pytest.raises(BenchError, match=r"begun with rate=0\.1, this is 0\.2"):
        run(tmp_path / "other", resume=True, batch_size=4, rate=0.2)


def test_a_state_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    run(tmp_path)
    before = left(tmp_path)
    (tmp_path / "state.pt").unlink()
    with pytest.raises(BenchError, match=r"state.pt is gone; delete the folder to train anew"):
        run(tmp_path, resume=True)
    assert left(tmp_path) == before


def test_settings_of_an_older_version_say_what_to_do(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "train.json"
    settings = json.loads(path.read_text())
    del settings["clip"]
    path.write_text(json.dumps(settings))
    with pytest.raises(BenchError, match=r"of an older version, does not say clip; choose"):
        run(tmp_path, resume=True)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "partial"
    hidden.symlink_to("/dev/full")
    monkeypatch.setattr("datasets_prep.runtime.whole.hidden", lambda *_: hidden)
    with pytest.raises(OSError, match="No space left") as raised:
        write_state(tmp_path, {"weights": torch.zeros(10**6)})
    assert raised.value.filename == str(tmp_path / "state.pt")


def test_a_constant_rate_warms_up(tmp_path: Path) -> None:
    run(tmp_path, steps=4, schedule="constant", warmup=2)
    rates = [float(row["rate"]) for row in csv.DictReader((tmp_path / "log.csv").open())]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.1])


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "mend"),
    [
        (16, 16, 4, "--set train.accumulate=4"),
        (24, 8, 2, "--set train.accumulate=4"),
        (18, 9, 3, "--set train.accumulate=3"),
        (16, 16, 3, "a batch size that 3 divides"),
    ],
)
def test_a_step_that_cannot_be_cut_says_what_fits(
    batch: int, accumulate: int, processes: int, mend: str
) -> None:
    config = TrainConfig(batch_size=batch, accumulate=accumulate)
    assert piece_size(config, 1) == batch // accumulate
    with pytest.raises(BenchError, match=f"give {mend}"):
        piece_size(config, processes)


def test_fp16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # which other trainings of this process have set
    with pytest.raises(BenchError, match=r"fp16 needs a GPU.*--set train.precision=no"):
        run(tmp_path, precision="fp16")
    AcceleratorState._reset_state()
    assert not (tmp_path / "train.json").exists()


def test_validation_in_pieces_is_that_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool:
        names = ("a",)

        def draw(self, step: int, count: int) -> list[ImageSample]:
            return [ImageSample("a", Variant(), seed) for seed in range(count)]

        def pixels(self, samples: Sequence[ImageSample], crop: int | None = None) -> Tensor:
            assert crop is None
            seeds = (torch.Generator().manual_seed(sample.seed) for sample in samples)
            return torch.stack([torch.rand(3, 16, 16, generator=seed) * 2 - 1 for seed in seeds])

    pool = cast(Any, Pool())
    monkeypatch.setattr(pretraining, "sample_latents", lambda unet, noise, prompt: noise)
    scores, scales = [], []
    for at_once in (8, 64):
        monkeypatch.setattr(pretraining, "_AT_ONCE", at_once)
        parts = untrained_parts("tiny", 0, 2)
        scores.append(DenoiserStage(parts, pool, {}).validate(tmp_path / "a.png").score)
        VaeStage(parts, pool, {}, 8).save(tmp_path / "vae")
        scales.append(parts.vae.config.scaling_factor)
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert scales[0] == pytest.approx(scales[1], rel=1e-5)


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
