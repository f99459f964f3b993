"""Peak memory of a stretch of work."""

from pathlib import Path

import torch

from benchmarks.results.environment import peak_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): resets the peak resident set size


class PeakMemory:
    """The largest peak over the stretches between `begin` and `end`, in bytes.

    On a CPU it is the process's resident memory. Where the system cannot forget an earlier
    peak, it is the peak of the whole process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.bytes = 0

    def begin(self) -> None:
        """A stretch begins."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif _CLEAR.exists():
            try:
                _CLEAR.write_text(_FORGET_PEAK)
            except OSError:
                return

    def end(self) -> None:
        """The stretch is over."""
        self.bytes = max(self.bytes, self._peak())

    def _peak(self) -> int:
        if self._device.type == "cpu" and _STATUS.is_file():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return peak_memory(str(self._device))
