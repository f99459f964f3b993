"""The training loop, on one device or several, resumable to the bit on the CPU."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from benchmarks.errors import BenchError
from benchmarks.train.config import FREE, TrainConfig
from benchmarks.train.log import TrainLog
from benchmarks.train.state import before_first_state, open_run, replace_folder, write_state
from benchmarks.train.trainable import Stage
from datasets_prep.runtime.progress import Progress


@dataclass(frozen=True)
class Trained:
    """What a training ended with.

    Attributes:
        loss: mean over the last steps of this sitting, at most 50; None if no step was left.
        best: the best validation score, or None without validation.
        seconds: that all sittings took, the time between them left out.
        processes: that shared the work.
        leads: whether this process is the one that writes and speaks.
    """

    loss: float | None
    best: float | None
    seconds: float
    processes: int
    leads: bool


class How(TypedDict, total=False):
    """How a training runs, which changes nothing of what it learns.

    Attributes:
        device: "auto" (the default), "cpu" or "cuda"; under `accelerate launch`, of each process.
        resume: go on with the training in its folder.
        tensorboard: write TensorBoard events as well.
    """

    device: str
    resume: bool
    tensorboard: bool


def train(
    stage: Stage, config: TrainConfig, out: Path, progress: Progress, **how: Unpack[How]
) -> Trained:
    """Train a stage to its last step.

    Writes `last/` and, with validation, `best/` as inference opens them, `state.pt` to go on
    from, `train.json`, `log.csv`, `loss.png` and the pictures of the validations.

    Args:
        stage: what to train.
        config: how.
        out: folder of the training.
        progress: hears of every step.
        how: see `How`.

    Raises:
        BenchError: what the user has to mend; also for a loss that is not finite.
    """
    loop = _Loop(stage, config, how.get("device", "auto"))
    return loop.run(out, progress, how.get("resume", False), how.get("tensorboard", False))


class _Loop:
    """Accelerate's and the optimiser's objects of one training."""

    def __init__(self, stage: Stage, config: TrainConfig, device: str) -> None:
        from accelerate import Accelerator
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self.stage, self.config = stage, config
        self._draw = lru_cache(maxsize=2)(stage.draw)  # of a step and, ahead of it, the next
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            cpu=device == "cpu",
            gradient_accumulation_steps=config.accumulate,
        )
        if device == "cuda" and self.accelerator.device.type != "cuda":
            raise BenchError(
                "--device cuda: torch sees no GPU here, or ACCELERATE_USE_CPU is set; see bench "
                "doctor, or train with --device cpu"
            )
        if config.precision == "fp16" and self.accelerator.device.type == "cpu":
            raise BenchError(
                "train.precision=fp16 needs a GPU: on a CPU give --set train.precision=no, or bf16"
            )
        place(stage, self.accelerator.device)
        self.piece = piece_size(config, self.accelerator.num_processes)
        self.weights = [p for p in stage.objective.parameters() if p.requires_grad]
        optimizer = _optimizer(config)(
            self.weights, lr=config.rate, weight_decay=config.weight_decay
        )
        warmed = config.schedule == "constant" and config.warmup
        self.schedule = get_scheduler(
            "constant_with_warmup" if warmed else config.schedule,
            optimizer,
            num_warmup_steps=config.warmup,
            num_training_steps=config.steps,
        )
        self.model, self.optimizer = self.accelerator.prepare(stage.objective, optimizer)
        self.ema = EMAModel(self.weights, decay=config.ema) if config.ema else None
        if self.ema is not None:
            self.ema.to(self.accelerator.device)

    def run(self, out: Path, progress: Progress, resume: bool, tensorboard: bool) -> Trained:
        config, leads = self.config, self.accelerator.is_main_process
        # At a constant rate no step depends on how many follow: more may be asked for.
        free = FREE | {"steps"} if config.schedule == "constant" else FREE
        settings = {**config.model_dump(mode="json", exclude=set(free)), **self.stage.describe()}
        state = None
        with self.accelerator.main_process_first():
            state = open_run(out, settings, resume or not leads, free)
        first, best, seconds = 0, None, 0.0
        if state is not None:
            first, best, seconds = state["step"], state["best"], state["seconds"]
            if first > config.steps:
                raise BenchError(f"{out} is trained for {first} steps already; ask for more")
            self._load(state)
        log = TrainLog(out, first, tensorboard) if leads else None
        recent: list[float] = []
        for step in range(first + 1, config.steps + 1):
            begun = time.monotonic()
            rate = self.schedule.get_last_lr()[0]
            loss, norm = self._step(step)
            taken = time.monotonic() - begun
            seconds += taken
            recent = [*recent[-49:], loss]
            if log is not None:
                log.step(step, loss, rate, norm, taken)
                progress.update(
                    f"training, loss {sum(recent) / len(recent):.4f}", step, config.steps
                )
            last = step == config.steps
            if leads and (last or (config.validate_every and step % config.validate_every == 0)):
                assert log is not None  # noqa: S101 - narrows the type
                best = self._validate(step, best, out, log, progress)
            if leads and (last or step % config.save_every == 0):
                self._save(out, {"step": step, "best": best, "seconds": seconds})
        if log is not None:
            log.draw()
            log.close()
        processes = self.accelerator.num_processes
        self.accelerator.end_training()
        mean = sum(recent) / len(recent) if recent else None
        return Trained(mean, best, seconds, processes, leads)

    def _step(self, step: int) -> tuple[float, float]:
        """One optimiser step: its loss over all processes, and the gradients' norm."""
        accelerator, config = self.accelerator, self.config
        samples = self._draw(step, config.batch_size)
        next_ones = self._draw(step + 1, config.batch_size) if step < config.steps else ()
        losses, norm = [], torch.tensor(0.0)
        self.model.train()
        for piece in range(config.accumulate):
            start = (piece * accelerator.num_processes + accelerator.process_index) * self.piece
            own = slice(start, start + self.piece)
            batch = _moved(self.stage.collate(samples[own]), accelerator.device)
            if next_ones:
                self.stage.prefetch(next_ones[own])
            with accelerator.accumulate(self.model):
                loss = self.model(batch)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    limit = config.clip if config.clip is not None else float("inf")
                    norm = accelerator.clip_grad_norm_(self.weights, limit)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(loss.detach().float())
        self.schedule.step()
        if self.ema is not None:
            self.ema.step(self.weights)
        mean = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
        if not torch.isfinite(torch.tensor(mean)):
            half = "" if config.precision == "no" else " or --set train.precision=no"
            raise BenchError(
                f"the loss of step {step} is {mean}; train anew in another --out with a lower "
                f"rate, a longer warm-up{half}"
            )
        return mean, float(norm)

    def _validate(
        self, step: int, best: float | None, out: Path, log: TrainLog, progress: Progress
    ) -> float | None:
        with self._averaged():
            self.stage.objective.eval()
            result = self.stage.validate(out / "pictures" / f"step_{step:06d}.png")
            if result is None:
                return best
            log.score(step, result.name, result.score)
            progress.note(f"step {step}: {result.name} {result.score:.4f}")
            if best is None or result.score > best:
                replace_folder(out / "best", self.stage.save)
                return result.score
        return best

    def _save(self, out: Path, numbers: Mapping[str, Any]) -> None:
        """The checkpoint first: if the state is not reached, the steps to it are done again."""
        before_first_state(out)
        with self._averaged():
            replace_folder(out / "last", self.stage.save)
        state = {
            **numbers,
            "weights": [weight.detach() for weight in self.weights],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "scaler": None
            if self.accelerator.scaler is None
            else self.accelerator.scaler.state_dict(),
        }
        write_state(out, state)

    def _load(self, state: Mapping[str, Any]) -> None:
        for weight, saved in zip(self.weights, state["weights"], strict=True):
            weight.data.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.accelerator.device)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within, the weights are their moving average, where one is kept."""
        if self.ema is None:
            yield
            return
        self.ema.store(self.weights)
        self.ema.copy_to(self.weights)
        try:
            yield
        finally:
            self.ema.restore(self.weights)


def piece_size(config: TrainConfig, processes: int) -> int:
    """Samples that a process computes at once.

    Raises:
        BenchError: if a step cannot be cut evenly; with the `accumulate` that fits and takes no
            more memory.
    """
    pieces = config.accumulate * processes
    if config.batch_size % pieces == 0:
        return config.batch_size // pieces
    share, rest = divmod(config.batch_size, processes)
    most = config.batch_size // config.accumulate
    fits = next((n for n in range(1, share + 1) if share % n == 0 and share // n <= most), None)
    mend = f"a batch size that {processes} divides" if rest else f"--set train.accumulate={fits}"
    raise BenchError(
        f"batch_size={config.batch_size} cannot be cut into {pieces} equal pieces ({processes} "
        f"processes, accumulate={config.accumulate}); give {mend}"
    )


def place(stage: Stage, device: torch.device) -> None:
    """Move all that a stage computes with."""
    for module in (stage.objective, *stage.frozen):
        module.to(device)


def _optimizer(config: TrainConfig) -> Any:
    if not config.adam8bit:
        return torch.optim.AdamW
    try:
        from bitsandbytes.optim import AdamW8bit
    except ModuleNotFoundError:
        raise BenchError("adam8bit needs bitsandbytes: pip install bitsandbytes") from None
    return AdamW8bit


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: _moved(value, device) for name, value in batch.items()}
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return [_moved(value, device) for value in batch]
    return batch
