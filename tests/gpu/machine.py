"""The device that is tried: its name, its clock, its memory, and what it can reach."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.speed.memory import PeakMemory

# Dense bf16 and fp16 tensor-core TFLOP/s of the makers' data sheets, by a part of the card's name.
_PEAKS = {
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "GH200": 989,
    "A100": 312,
    "A10G": 70,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
}


@dataclass(frozen=True)
class Machine:
    """Where the battery runs, and at what size.

    Attributes:
        device: a torch device; "cuda:0" or "cpu".
        full: full Stable Diffusion 2.1, or the tiny networks of tests.
        data: folder of prepared datasets, with `shapes`.
        scratch: folder for results and checkpoints.
    """

    device: torch.device
    full: bool
    data: Path
    scratch: Path

    @property
    def gpu(self) -> bool:
        """Whether it is one."""
        return self.device.type == "cuda"

    def describe(self) -> dict[str, object]:
        """What the report says of it."""
        about: dict[str, object] = {"torch": torch.__version__, "python": platform.python_version()}
        if not self.gpu:
            return {"device": "CPU", "processors": os.cpu_count(), **about}
        properties = torch.cuda.get_device_properties(self.device)
        return {
            "device": properties.name,
            "memory GiB": round(properties.total_memory / 2**30, 1),
            "CUDA": torch.version.cuda,
            "peak TFLOP/s by data sheet": self.peak(),
            **about,
        }

    def peak(self) -> float | None:
        """TFLOP/s of the data sheet in bf16 and fp16; None for a card that is not listed."""
        name = torch.cuda.get_device_name(self.device) if self.gpu else ""
        return next((peak for part, peak in _PEAKS.items() if part in name), None)

    def milliseconds(self, call: Callable[[], object], repeats: int = 10, warm: int = 3) -> float:
        """The median time of a call.

        On a GPU by events on its stream: all repeats are given to it before anything waits, so
        that neither Python nor the waiting is in the time, as long as the GPU is the slower one.
        """
        for _ in range(warm):
            call()
        if not self.gpu:
            times = []
            for _ in range(repeats):
                begin = time.perf_counter()
                call()
                times.append((time.perf_counter() - begin) * 1000)
            return statistics.median(times)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        torch.cuda.synchronize(self.device)
        marks[0].record()
        for mark in marks[1:]:
            call()
            mark.record()
        torch.cuda.synchronize(self.device)
        return statistics.median(begin.elapsed_time(end) for begin, end in pairwise(marks))

    def peak_gib(self, call: Callable[[], object]) -> float:
        """The most memory that a call takes: torch's on a GPU, else the process's."""
        memory = PeakMemory(self.device)
        self.forget()
        memory.begin()
        call()
        if self.gpu:
            torch.cuda.synchronize(self.device)
        memory.end()
        return round(memory.bytes / 2**30, 2)

    def forget(self) -> None:
        """Give back what torch holds and nobody uses."""
        import gc

        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()
