"""What a result says of the machine it was measured on: an allow-list, nothing else."""

import contextlib
import hashlib
import os
import platform
import resource
import socket
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "fss-bench", "torch", "numpy", "pillow", "diffusers", "transformers", "scipy", "pot",
    "pycocotools",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that can change a number, and of Python."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"python": platform.python_version()}


@cache
def revision() -> str | None:
    """The git revision of a checkout, with + if it is modified; None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"],  # noqa: S607
            capture_output=True, text=True, timeout=10, check=True,
            # Git would obey GIT_DIR and its kin rather than the folder that it is given.
            env={name: value for name, value in os.environ.items() if name[:4] != "GIT_"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def program() -> dict[str, str]:
    """Names the code that runs: all versions, and a digest of the files of the suite's packages.

    The digest tells apart what a version or a revision, with its + for "modified", does not, and is
    the same where only documents or tests differ.
    """
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in ("benchmarks", "datasets_prep", "models"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".json"):
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return versions() | {"sources": digest.hexdigest()[:16]}


def process() -> str:
    """Names this process on its machine to a person; no part of any result."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def hardware(device: str) -> str:
    """The GPU's name, or the processor's with the number of threads in use."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'' if threads == 1 else 's'}"


@cache
def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def reset_peak_memory(device: str) -> None:
    """Let the peak begin anew: of a GPU, and where the kernel is Linux of this process."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: str) -> int:
    """Peak bytes since the last reset: of this process on a CPU, allocated by torch on a GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
