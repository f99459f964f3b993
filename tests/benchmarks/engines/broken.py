"""Segmenters that break a worker, each as often as a counting file says."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.catalog import Options
from models.segmenter import Features
from tests.tiny import ColourModel


class BreakOptions(Options):
    folder: str
    times: int = 1
    pause: float = 0.0


class _Breaking(ColourModel):
    """Breaks on a batch while fewer than `times` files lie in `folder`."""

    Options = BreakOptions

    def __init__(self, folder: str, times: int, pause: float) -> None:
        super().__init__()
        self.folder, self.times, self.pause = Path(folder), times, pause
        self.config = {}
        self.calls = 0

    @classmethod
    def load(cls, options: BreakOptions, *, device: str, dtype: str) -> "_Breaking":
        (Path(options.folder) / f"loaded-{os.getpid()}").touch()
        return cls(options.folder, options.times, options.pause)

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        time.sleep(self.pause)
        self.calls += 1
        if self.calls > 2:
            for number in range(self.times):
                try:
                    (self.folder / f"broke-{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                self.give_way()
        return super().segment(queries, supports)

    def give_way(self) -> None:
        raise NotImplementedError


class Killed(_Breaking):
    """Its process is killed."""

    def give_way(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stuck(_Breaking):
    """It does not come back for a long time."""

    def give_way(self) -> None:
        time.sleep(60)


class Full(_Breaking):
    """It runs out of memory."""

    def give_way(self) -> None:
        raise torch.OutOfMemoryError


class DeadlyOptions(Options):
    seed: int


class Deadly(ColourModel):
    """Kills every process that comes to the episode with this seed."""

    Options = DeadlyOptions
    wants = frozenset({"seeds"})

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    @classmethod
    def load(cls, options: DeadlyOptions, *, device: str, dtype: str) -> "Deadly":
        return cls(options.seed)

    def segment(
        self,
        queries: Sequence[Features],
        supports: Sequence[Sequence[Features]],
        seeds: Sequence[int] = (),
    ) -> Tensor:
        if self.seed in seeds:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().segment(queries, supports)


class Failing(_Breaking):
    """It raises."""

    def give_way(self) -> None:
        raise ValueError("cannot")


class Told(ColourModel):
    """It says what its process knows of being offline."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.config = {"offline": os.environ["HF_HUB_OFFLINE"]}
