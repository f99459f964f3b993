"""The executor that a configuration asks for."""

import os
import sys
from pathlib import Path

from benchmarks.config.schema import BenchConfig, ModelConfig
from benchmarks.engines.messages import Executor
from benchmarks.errors import BenchError

_WITH_THREADS = "OMP_NUM_THREADS"
_PASSED_ON = ("HF_HUB_OFFLINE",)


def make_executor(config: BenchConfig) -> Executor:
    """Workers as `config` wants them.

    Raises:
        BenchError: if there are no such devices, or Ray is wanted and not installed.
    """
    if config.engine == "ray":
        from benchmarks.engines.ray_cluster import RayExecutor

        return RayExecutor(_everywhere(config), _path(), _passed_on())
    workers = config.workers or 1
    if workers == 1:
        import torch

        from benchmarks.config.loading import resolve_device
        from benchmarks.engines.serial import SerialExecutor
        from benchmarks.engines.worker import Worker

        if config.worker_threads is not None:
            torch.set_num_threads(config.worker_threads)
        return SerialExecutor(Worker(config, resolve_device(config.device)))
    from benchmarks.engines.local import LocalExecutor
    from benchmarks.engines.worker_process import Place

    devices = _devices(config.device, workers)
    threads = config.worker_threads or _share(workers)
    placed, path, passed_on = _everywhere(config), _path(), _passed_on()
    return LocalExecutor([Place(placed, device, threads, path, passed_on) for device in devices])


def _devices(name: str, workers: int) -> list[str]:
    """A device for every worker: the processors for all, or a GPU for each.

    Raises:
        BenchError: if there are too few GPUs, or only one is named.
    """
    if name == "cpu":
        return ["cpu"] * workers
    import torch

    gpus = torch.cuda.device_count()
    if name == "auto" and not gpus:
        return ["cpu"] * workers
    if name not in ("auto", "cuda"):
        raise BenchError(f"--workers {workers} needs --device cuda or cpu, not {name!r}")
    if gpus < workers:
        raise BenchError(
            f"--workers {workers} wants a GPU for each, torch {torch.__version__} sees {gpus} here"
        )
    return [f"cuda:{number}" for number in range(workers)]


def _share(workers: int) -> int:
    """Threads for one of so many workers; what the user's environment says goes first."""
    given = os.environ.get(_WITH_THREADS, "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // workers)


def _everywhere(config: BenchConfig) -> BenchConfig:
    """The configuration with paths that mean the same in another process."""
    roots = {
        "data_root": config.data_root.resolve(),
        "models": tuple(map(_with_whole_path, config.models)),
    }
    return config.model_copy(update=roots)


def _with_whole_path(model: ModelConfig) -> ModelConfig:
    place, colon, name = model.target.partition(":")
    if not place.endswith(".py"):
        return model
    return model.model_copy(update={"model": f"{Path(place).resolve()}{colon}{name}"})


def _passed_on() -> dict[str, str]:
    """What workers must be told of this process's environment: whether it stays offline."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _path() -> tuple[str, ...]:
    """Where this process finds modules: a user's own are found there by workers too.

    What lies beside a model that was loaded here before is not for the workers' models.
    """
    from models.custom import leave_folders

    leave_folders()
    return tuple(folder or str(Path.cwd()) for folder in sys.path)
