"""What is made of an error that a model raised."""

import torch

from benchmarks.errors import BenchError

_LENGTH = 300  # characters of it that are kept


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: a GPU's, or main memory, for which torch has no error of its own."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def reason(error: Exception) -> str:
    """One short line of what was raised."""
    text = str(error).strip().partition("\n")[0][:_LENGTH]
    if isinstance(error, BenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
