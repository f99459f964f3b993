"""HSNet on episodes of base classes."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack, cast

import torch
from torch import Tensor, nn

from benchmarks.evaluation.loader import Loader
from benchmarks.train.config import TrainConfig
from benchmarks.train.draw import BaseEpisodes, EveryPair, TrainEpisode, generator
from benchmarks.train.episodes import Item, held_out_miou, pixels
from benchmarks.train.pictures import save_grid
from benchmarks.train.pretraining import device_of
from benchmarks.train.trainable import Validation
from benchmarks.train.trainer import How, Trained, train
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.progress import Progress
from models.catalog import parse_options
from models.geometry import Geometry, Squash
from models.methods.diffews.injection import mask_image
from models.methods.hsnet.network import HSNetOptions, HSNetwork
from models.methods.hsnet.segmenter import HSNet
from models.methods.hsnet.train import LEARNING_RATE, Episodes, HSNetLoss, predicted, untrained
from models.weights.source import FILENAMES, tensor_digest, write_tensors
from models.weights.trained_on import RECORD, of_record

_AT_ONCE, _SHOWN = 8, 6


@dataclass(frozen=True)
class HSNetJob:
    """One training of HSNet, but for its folder.

    Attributes:
        data_root: of prepared datasets.
        dataset: a prepared one.
        fold: whose base classes it is trained on.
        backbone: see `untrained`.
        weights: of the backbone, or None for the published ones.
        size: side of the square that images are squashed to, or None for the model's.
        validation: held-out episodes of a validation.
        train: the loop's settings, see `authors_config`.
    """

    data_root: Path
    dataset: str
    fold: int
    backbone: str
    weights: str | None
    size: int | None
    validation: int
    train: TrainConfig


def authors_config(
    steps: int,
    batch_size: int = 20,
    rate: float = LEARNING_RATE,
    seed: int = 0,
    save_every: int = 1000,
) -> TrainConfig:
    """The authors' Adam; each saving has a validation."""
    return TrainConfig(
        steps=steps,
        batch_size=batch_size,
        rate=rate,
        weight_decay=0,
        schedule="constant",
        clip=None,
        seed=seed,
        save_every=save_every,
        validate_every=save_every,
    )


def train_hsnet(
    job: HSNetJob, out: Path, progress: Progress, *, threads: int = 2, **how: Unpack[How]
) -> Trained:
    """Train HSNet's learner; each checkpoint holds the backbone too, as `hsnet` loads it.

    Args:
        job: what to train.
        out: folder of the training.
        progress: hears of every step.
        threads: that decode images ahead.
        how: see `train`.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    dataset = PreparedDataset(job.data_root, job.dataset)
    with closing(Loader(dataset, threads)) as loader:
        stage = hsnet_stage(job, dataset, loader)
        if not stage.validates:
            progress.note("nothing is held out to validate on: only last/ is written, no best/")
        return train(stage, job.train, out, progress, **how)


def hsnet_stage(job: HSNetJob, dataset: PreparedDataset, loader: Loader) -> "HSNetStage":
    """The stage of a job, its learner's first weights drawn by the seed."""
    options = {"size": job.size, "random": "tiny" if job.backbone == "tiny" else None}
    side = cast(HSNetOptions, parse_options("hsnet", HSNet, options)).side
    episodes = EveryPair(dataset.folds, job.fold, job.train.seed, names=dataset.classes)
    held_out = BaseEpisodes(dataset.folds, job.fold, held_out=True, names=dataset.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.train.seed)
        network = untrained(job.backbone, job.weights)
    described = {
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "fold": job.fold,
        "backbone": tensor_digest(network.backbone),
        "size": side,
        "torch": torch.__version__,
    }
    random = generator(job.train.seed, 0)
    count = job.validation if held_out.classes else 0
    checks = [held_out.draw(random, 1) for _ in range(count)]
    return HSNetStage(network, episodes, checks, loader, Squash(side), described)


class HSNetStage:
    """Trains HSNet's learner on a fold's base classes; no novel class is ever foreground."""

    def __init__(
        self,
        network: HSNetwork,
        episodes: EveryPair,
        held_out: Sequence[TrainEpisode],
        loader: Loader,
        geometry: Geometry,
        described: Mapping[str, object],
    ) -> None:
        self._network, self._episodes, self._held_out = network, episodes, held_out
        self._loader, self._geometry, self._described = loader, geometry, described
        self.objective: nn.Module = HSNetLoss(network)
        self.frozen: Sequence[nn.Module] = ()
        self._trained_on = of_record(described, RECORD)

    @property
    def validates(self) -> bool:
        """Whether there are episodes to validate on."""
        return bool(self._held_out)

    def describe(self) -> Mapping[str, object]:
        """Dataset, fold, backbone and size."""
        return {"stage": "hsnet", **self._described, "validation": len(self._held_out)}

    def draw(self, step: int, count: int) -> Sequence[TrainEpisode]:
        """Episodes of one step."""
        return self._episodes.draw(step, count)

    def prefetch(self, samples: Sequence[TrainEpisode]) -> None:
        """Begin to decode the images of some episodes."""
        self._loader.prefetch_images([name for _, name, _ in _items(samples)], self._geometry)

    def collate(self, samples: Sequence[TrainEpisode]) -> dict[str, Tensor]:
        """What `Episodes` holds, by name."""
        images, masks = pixels(self._loader, self._geometry, _items(samples))
        (queries, supports), (query_masks, support_masks) = images.chunk(2), masks.chunk(2)
        return {
            "queries": queries.float() / 255,
            "query_masks": query_masks,
            "supports": supports.float() / 255,
            "support_masks": support_masks,
        }

    def save(self, folder: Path) -> None:
        """Write backbone and learner as one file, which says what they were trained on."""
        write_tensors(folder / FILENAMES[0], self._network.state_dict(), self._trained_on)

    def validate(self, pictures: Path) -> Validation | None:
        """1-shot mIoU over episodes of base classes whose images are held out of training."""
        if not self._held_out:
            return None
        device = device_of(self._network)
        masks, truths = [], []
        for start in range(0, len(self._held_out), _AT_ONCE):
            batch = self.collate(self._held_out[start : start + _AT_ONCE])
            moved = Episodes(**{name: tensor.to(device) for name, tensor in batch.items()})
            masks.append(predicted(self._network, moved).float().cpu())
            truths.append(batch["query_masks"])
            if start == 0:
                rows = [batch["supports"] * 2 - 1, mask_image(batch["support_masks"])]
                rows += [batch["queries"] * 2 - 1, mask_image(truths[0]), mask_image(masks[0])]
                save_grid(pictures, [row[:_SHOWN] for row in rows])
        return held_out_miou(self._held_out, torch.cat(masks), torch.cat(truths))


def _items(episodes: Sequence[TrainEpisode]) -> list[Item]:
    """Queries, then the support of each."""
    queries = [(episode.class_index, *episode.query) for episode in episodes]
    return queries + [(episode.class_index, *episode.supports[0]) for episode in episodes]
