"""Training a model on a prepared dataset, to a checkpoint that `bench run` loads."""

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import torch

from benchmarks.errors import BenchError
from benchmarks.loader import Loader
from benchmarks.loading import resolve_device
from benchmarks.training_episodes import training_batches, training_episodes
from datasets_prep.prepared import PreparedDataset
from datasets_prep.progress import Progress
from models.catalog import parse_options
from models.geometry import Squash
from models.hsnet.network import HSNetOptions
from models.hsnet.segmenter import HSNet
from models.hsnet.train import train, untrained

_SMOOTHED = 50  # steps whose mean loss is told


@dataclass(frozen=True)
class Training:
    """What to train, on what and how; see `bench train hsnet --help`."""

    data_root: Path
    dataset: str
    fold: int
    backbone: str
    weights: str | None
    size: int | None
    steps: int
    batch_size: int
    rate: float
    seed: int
    save_every: int
    device: str
    threads: int


@dataclass(frozen=True)
class Loss:
    """The mean loss of so many last steps."""

    mean: float
    steps: int


def train_hsnet(wanted: Training, out: Path, progress: Progress) -> Loss:
    """Train HSNet's learner and write it with its backbone to `out`.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    if out.exists():
        raise BenchError(f"{out} is there already; delete it or choose another --out")
    options = {"random": "tiny"} if wanted.backbone == "tiny" else {}
    parsed = parse_options("hsnet", HSNet, {**options, "size": wanted.size})
    grid = Squash(cast(HSNetOptions, parsed).side)
    dataset = PreparedDataset(wanted.data_root, wanted.dataset)
    episodes = training_episodes(dataset.folds, wanted.fold, wanted.seed)
    device = resolve_device(wanted.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        network = untrained(wanted.backbone, wanted.weights).to(device)
    out.parent.mkdir(parents=True, exist_ok=True)
    last: deque[float] = deque(maxlen=_SMOOTHED)
    with closing(Loader(dataset, wanted.threads)) as loader:
        batches = training_batches(loader, episodes, grid, wanted.batch_size, device)
        losses = train(network, islice(batches, wanted.steps), rate=wanted.rate)
        for step, loss in enumerate(losses, start=1):
            last.append(loss)
            progress.update(f"training on {wanted.dataset}", step, wanted.steps)
            if step % wanted.save_every == 0 or step == wanted.steps:
                _save(network, out)
                mean = sum(last) / len(last)
                progress.note(f"step {step}: saved {out}, loss {mean:.4f}")
    return Loss(sum(last) / len(last), len(last))


def _save(network: torch.nn.Module, out: Path) -> None:
    """Write the state dict, whole or not at all."""
    partial = out.with_name(f".{out.name}.partial")
    torch.save({name: t.cpu() for name, t in network.state_dict().items()}, partial)
    partial.replace(out)
