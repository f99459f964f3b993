"""Training a model on a prepared dataset, to a checkpoint that `bench run` loads."""

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.errors import BenchError
from benchmarks.loader import Loader
from benchmarks.loading import resolve_device
from benchmarks.training_episodes import (
    held_out,
    training_batches,
    training_episodes,
    validation_episodes,
)
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared import PreparedDataset
from datasets_prep.progress import Progress
from models.catalog import parse_options
from models.geometry import Squash
from models.hsnet.network import HSNetOptions, HSNetwork
from models.hsnet.segmenter import HSNet
from models.hsnet.train import Episodes, learner_optimizer, predicted, train, untrained
from models.weights import tensor_digest

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
    validate: int
    device: str
    threads: int


@dataclass(frozen=True)
class Trained:
    """How a training ended.

    Attributes:
        loss: the mean of the last `steps` steps of this sitting.
        steps: how many steps that mean is of.
        best: the step whose checkpoint was kept.
        score: its mIoU on the validation episodes, in 0..1; None where there were none.
    """

    loss: float
    steps: int
    best: int
    score: float | None


def train_hsnet(wanted: Training, out: Path, progress: Progress) -> Trained:
    """Train HSNet's learner and write the best checkpoint, with the backbone, to `out`.

    What the same command needs to go on is kept in `<out>.state`; a training that was interrupted
    or is to have more steps ends with the same bits as one that was not.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    state_path = out.with_name(f"{out.name}.state")
    if out.exists() and not state_path.exists():
        raise BenchError(f"{out} is there already; delete it or choose another --out")
    options = {"random": "tiny"} if wanted.backbone == "tiny" else {}
    parsed = parse_options("hsnet", HSNet, {**options, "size": wanted.size})
    grid = Squash(cast(HSNetOptions, parsed).side)
    dataset = PreparedDataset(wanted.data_root, wanted.dataset)
    checks = validation_episodes(dataset.folds, wanted.fold, wanted.validate)
    spared = held_out(dataset.folds, wanted.fold) if checks else frozenset()
    episodes = training_episodes(dataset.folds, wanted.fold, wanted.seed, spared)
    device = resolve_device(wanted.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        network = untrained(wanted.backbone, wanted.weights).to(device)
    optimizer = learner_optimizer(network, wanted.rate)
    state = _begin(state_path, _settings(wanted, dataset, network, grid.size, len(checks)))
    _restore(network, optimizer, state)
    if state["step"] >= wanted.steps:
        raise BenchError(
            f"{out} is trained for {state['step']} steps already; ask for more --steps"
        )
    if not checks:
        progress.note("no base class has images to spare for validation: the last step is kept")

    out.parent.mkdir(parents=True, exist_ok=True)
    # Before any checkpoint: one without it beside it is somebody else's.
    _write(state_path, state)
    last: deque[float] = deque(maxlen=_SMOOTHED)
    first = int(state["step"]) + 1
    with closing(Loader(dataset, wanted.threads)) as loader:

        def batches(some: Iterable[Episode]) -> Iterable[Episodes]:
            return training_batches(loader, some, grid, wanted.batch_size, device)

        drawn = islice(episodes, (first - 1) * wanted.batch_size, None)
        losses = train(network, islice(batches(drawn), wanted.steps - first + 1), optimizer)
        for step, loss in enumerate(losses, start=first):
            last.append(loss)
            progress.update(f"training on {wanted.dataset}", step, wanted.steps)
            if step % wanted.save_every == 0 or step == wanted.steps:
                score = _score(network, checks, batches(checks)) if checks else None
                if score is None or state["score"] is None or score > state["score"]:
                    state |= {"best": step, "score": score}
                    _write(out, network.state_dict())
                state |= {
                    "step": step,
                    "learner": network.hpn_learner.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
                _write(state_path, state)
                told = "" if score is None else f", mIoU {100 * score:.1f} on held-out images"
                progress.note(f"step {step}: loss {sum(last) / len(last):.4f}{told}")
    return Trained(sum(last) / len(last), len(last), state["best"], state["score"])


def _settings(
    wanted: Training, dataset: PreparedDataset, network: HSNetwork, size: int, checks: int
) -> dict[str, Any]:
    """All that the trained weights depend on, beside the number of steps."""
    return {
        "dataset": dataset.digest,
        "fold": wanted.fold,
        "backbone": tensor_digest(network.backbone),
        "size": size,
        "batch-size": wanted.batch_size,
        "rate": wanted.rate,
        "seed": wanted.seed,
        "save-every": wanted.save_every,
        "validate": checks,
    }


def _begin(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The state to go on from, or that of the beginning.

    Raises:
        BenchError: if it cannot be read, or the training was begun with other settings.
    """
    fresh = {"settings": dict(settings), "step": 0, "best": 0, "score": None}
    if not path.exists():
        return fresh
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before, step = state["settings"], state["step"]
    except Exception as error:  # torch raises anything from KeyError to UnpicklingError
        raise BenchError(f"cannot read {path} ({error!r}); delete it to train anew") from None
    if step == 0:
        return fresh  # what has trained nothing binds nobody
    for name, now in settings.items():
        if before.get(name) != now:
            raise BenchError(
                f"{path} was begun with {name} {before.get(name)}, now it is {now}; go back to the "
                "first, or choose another --out"
            )
    return state


def _restore(
    network: HSNetwork, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    if state["step"]:
        network.hpn_learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])


def _score(network: HSNetwork, episodes: list[Episode], batches: Iterable[Episodes]) -> float:
    """Mean IoU over the classes of `episodes`, ignored pixels counted as background."""
    areas: dict[int, list[int]] = {}
    left = iter(episodes)
    for batch in batches:
        masks = predicted(network, batch).cpu()
        for mask, truth in zip(masks, batch.query_masks.cpu().bool(), strict=True):
            own = areas.setdefault(next(left).class_index, [0, 0])
            own[0] += int((mask & truth).sum())
            own[1] += int((mask | truth).sum())
    return sum(both / max(either, 1) for both, either in areas.values()) / len(areas)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    torch.save(_on_cpu(content), partial)
    partial.replace(path)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {name: _on_cpu(own) for name, own in value.items()}
    return value
