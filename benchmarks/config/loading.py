"""A device by its name, and a model by its configuration."""

import torch

from benchmarks.config.schema import ModelConfig
from benchmarks.errors import BenchError
from models.catalog import MODELS, load_model
from models.custom import load_custom
from models.segmenter import Segmenter


def resolve_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        BenchError: if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BenchError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BenchError(
            f"device {name!r}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs "
            f"here; use --device cpu, or install a CUDA build of torch"
        )
    if device.type not in ("cpu", "cuda"):
        raise BenchError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    return device


def load_segmenter(wanted: ModelConfig, device: torch.device, dtype: str) -> Segmenter:
    """The registered or custom model that a configuration names."""
    if wanted.target in MODELS:
        loaded: Segmenter = load_model(
            wanted.target, wanted.options, device=str(device), dtype=dtype
        )
        return loaded
    return load_custom(wanted.target, wanted.options, device=str(device), dtype=dtype)
