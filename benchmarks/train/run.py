"""From a `Job` to a trained checkpoint: each stage's network, data and loop."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import BenchError
from benchmarks.loader import Loader
from benchmarks.train.diffews import DiffewSStage, EpisodeSettings
from benchmarks.train.draw import BaseEpisodes
from benchmarks.train.images import ImagePool
from benchmarks.train.job import Job, StageName
from benchmarks.train.latents import LatentStore
from benchmarks.train.stage import Stage
from benchmarks.train.stages import DenoiserStage, VaeStage
from benchmarks.train.trainer import Trained, train
from datasets_prep.prepared import PreparedDataset
from datasets_prep.progress import Progress
from models.diffews.checkpoint import load_part, read_config
from models.diffews.convert import add_inputs
from models.diffews.parts import Parts, build_vae, load_parts
from models.diffews.synthetic import untrained_parts, untrained_tokens
from models.diffews.tokens import load_clip
from models.diffews.training.autoencoder import AutoencoderLoss
from models.diffews.training.objective import DiffewSLoss
from models.geometry import Squash


@dataclass(frozen=True)
class Places:
    """Where a training finds and leaves things.

    Attributes:
        data_root: of prepared datasets.
        dataset: its name.
        fold: whose base classes DiffewS is trained on; None for the stages without masks.
        source: checkpoint to start from; None for untrained weights.
        image_encoder: CLIP's folder, for tokenized_cross_attention; None for an untrained one.
        latents: folder that keeps latents, or None.
        out: folder of the training.
    """

    data_root: Path
    dataset: str
    fold: int | None
    source: Path | None
    image_encoder: Path | None
    latents: Path | None
    out: Path


def run_job(
    stage: StageName,
    job: Job,
    places: Places,
    progress: Progress,
    *,
    device: str = "auto",
    threads: int = 2,
    resume: bool = False,
    tensorboard: bool = False,
) -> Trained:
    """Train one stage.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    dataset = PreparedDataset(places.data_root, places.dataset)
    with closing(Loader(dataset, threads)) as loader:
        made = _MAKE[stage](job, places, dataset, loader)
        _to_device(made, device)
        return train(
            made,
            job.train,
            places.out,
            progress,
            device=device,
            resume=resume,
            tensorboard=tensorboard,
        )


def _vae(job: Job, places: Places, dataset: PreparedDataset, loader: Loader) -> Stage:
    parts = untrained_parts(job.size, job.train.seed, job.prompt_tokens)
    if places.source is not None:
        parts = _with_vae(parts, places.source)
    else:
        AutoencoderLoss.begin(parts.vae)
    pool = ImagePool(dataset.folds, loader, Squash(job.resolution), job.train.seed)
    return VaeStage(parts, pool, _described(job, dataset, parts, "size", "resolution"), job.crop)


def _unet(job: Job, places: Places, dataset: PreparedDataset, loader: Loader) -> Stage:
    if places.source is None:
        raise BenchError("bench train unet needs --from DIR, a folder with a trained vae")
    parts = untrained_parts(job.size, job.train.seed, job.prompt_tokens)
    pool = ImagePool(dataset.folds, loader, Squash(job.resolution), job.train.seed)
    parts = _with_vae(parts, places.source)
    return DenoiserStage(parts, pool, _described(job, dataset, parts, "size", "resolution"))


def _diffews(job: Job, places: Places, dataset: PreparedDataset, loader: Loader) -> Stage:
    if places.source is None or places.fold is None:
        raise BenchError("bench train diffews needs --from DIR, a Stable Diffusion, and --fold")
    parts = load_parts(places.source, tokens=job.prompt_tokens)
    design, seed = job.design, job.train.seed
    added = add_inputs(parts.unet, design)
    parts = replace(parts, unet_config={**parts.unet_config, **added})
    if design.tokenized and parts.tokens is None:
        width = int(parts.unet_config["cross_attention_dim"])
        clip = places.image_encoder
        tokens = untrained_tokens(job.size, seed) if clip is None else load_clip(clip, width, seed)
        parts = replace(parts, tokens=tokens)
    parts = replace(
        parts,
        trained={
            "dataset": dataset.name,
            "dataset_digest": dataset.digest,
            "fold": places.fold,
            "steps": job.train.steps,
            "batch_size": job.train.batch_size,
            "seed": seed,
        },
    )
    objective = DiffewSLoss(parts, design, checkpointing=job.train.gradient_checkpointing)
    parts.unet.requires_grad_(True)
    if parts.tokens is not None:
        parts.tokens.learn(encoder=job.train_tokens)
    folds, fold = dataset.folds, places.fold
    shots = 1 if design.shots == "inference_only" else job.shots
    settings = EpisodeSettings(shots, job.sample, job.validation, job.denoising_steps)
    names = ("resolution", "augment", "copies", "prompt_tokens", "train_tokens")
    described = {
        **_described(job, dataset, parts, *names),
        "fold": fold,
        "design": design.model_dump(),
        "started_from": parts.digest,
    }
    return DiffewSStage(
        parts,
        objective,
        BaseEpisodes(folds, fold, augment=job.augment, copies=job.copies),
        BaseEpisodes(folds, fold, held_out=True),
        loader,
        Squash(job.resolution),
        LatentStore(parts, places.latents),
        settings,
        described,
        seed,
    )


_MAKE = {"vae": _vae, "unet": _unet, "diffews": _diffews}


def _described(
    job: Job, dataset: PreparedDataset, parts: Parts, *names: str
) -> Mapping[str, object]:
    return {
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "vae": parts.vae_digest,
        "torch": torch.__version__,
        **{name: getattr(job, name) for name in names},
    }


def _with_vae(parts: Parts, folder: Path) -> Parts:
    path = folder / "vae"
    config: dict[str, Any] = read_config(path)
    vae, digest = load_part(lambda: build_vae(config), path, torch.float32)
    return replace(parts, vae=vae, vae_config=config, vae_digest=digest)


def _to_device(stage: Stage, device: str) -> None:
    """Frozen parts follow the objective; Accelerate moves what is trained."""
    if device != "cpu" and torch.cuda.is_available():
        stage.objective.to("cuda")
