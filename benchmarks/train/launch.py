"""From a `Job` to a trained checkpoint: each stage's network, data and loop."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch

from benchmarks.errors import BenchError
from benchmarks.evaluation.loader import Loader
from benchmarks.train.diffews import DiffewSStage, EpisodeSettings
from benchmarks.train.draw import BaseEpisodes
from benchmarks.train.images import ImagePool
from benchmarks.train.job import Job, StageName
from benchmarks.train.latents import LatentStore
from benchmarks.train.pretraining import DenoiserStage, VaeStage
from benchmarks.train.trainable import Stage
from benchmarks.train.trainer import How, Trained, train
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.progress import Progress
from models.geometry import Squash
from models.methods.diffews.checkpoint import load_part, read_config
from models.methods.diffews.convert import add_inputs
from models.methods.diffews.parts import Parts, build_vae, load_parts
from models.methods.diffews.synthetic import untrained_parts, untrained_tokens
from models.methods.diffews.tokens import ImageTokens, load_clip
from models.methods.diffews.training.autoencoder import AutoencoderLoss
from models.methods.diffews.training.objective import DiffewSLoss
from models.methods.diffews.unet import learn
from models.weights.source import tensor_digest
from models.weights.trained_on import RECORD, TrainedOn, of_record


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
    threads: int = 2,
    **how: Unpack[How],
) -> Trained:
    """Train one stage.

    Args:
        stage: which one.
        job: its settings.
        places: what it finds where.
        progress: hears of every step.
        threads: that decode images ahead.
        how: see `train`.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    dataset = PreparedDataset(places.data_root, places.dataset)
    with closing(Loader(dataset, threads)) as loader:
        made = _MAKE[stage](job, places, dataset, loader)
        return train(made, job.train, places.out, progress, **how)


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
    own = untrained_parts(job.size, job.train.seed, job.prompt_tokens)
    pool = ImagePool(dataset.folds, loader, Squash(job.resolution), job.train.seed)
    parts = _with_vae(own, places.source)
    found, wanted = (p.vae.config.latent_channels for p in (parts, own))
    if found != wanted:
        raise BenchError(
            f"the VAE in {places.source} has latents of {found} channels, a U-Net of "
            f"size={job.size} {wanted}; give the size that the VAE was trained with"
        )
    return DenoiserStage(parts, pool, _described(job, dataset, parts, "size", "resolution"))


def _diffews(job: Job, places: Places, dataset: PreparedDataset, loader: Loader) -> Stage:
    if places.source is None or places.fold is None:
        raise BenchError("bench train diffews needs --from DIR, a Stable Diffusion, and --fold")
    parts = load_parts(places.source, tokens=job.prompt_tokens, exact_tokens=True)
    design, seed = job.design, job.train.seed
    if design.shots == "trained" and job.shots == 1:
        raise BenchError(
            "shots=1 trains with one support alone, which is not design.shots=trained: give "
            "design.shots=inference_only, or more shots"
        )
    trained = _trained(job, places.source, dataset, places.fold, parts.trained_on)
    parts = replace(parts, trained=trained, trained_on=of_record(trained, RECORD))
    added = add_inputs(parts.unet, design)
    parts = replace(parts, unet_config={**parts.unet_config, **added})
    image_encoder = None
    if not design.tokenized:
        parts = replace(parts, tokens=None)
    elif parts.tokens is None:
        tokens = _tokens(job, places.image_encoder, parts)
        parts, image_encoder = replace(parts, tokens=tokens), tensor_digest(tokens)
    objective = DiffewSLoss(parts, design, checkpointing=job.train.gradient_checkpointing)
    learn(parts.unet, design)
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
        "image_encoder": image_encoder,
    }
    return DiffewSStage(
        parts,
        objective,
        BaseEpisodes(folds, fold, augment=job.augment, copies=job.copies, names=dataset.classes),
        BaseEpisodes(folds, fold, held_out=True, names=dataset.classes),
        loader,
        Squash(job.resolution),
        LatentStore(parts, places.latents, dataset.digest),
        settings,
        described,
        seed,
    )


def _trained(
    job: Job, source: Path, dataset: PreparedDataset, fold: int, before: Sequence[TrainedOn]
) -> Mapping[str, object]:
    """What a checkpoint says of its training, and of those that it started from.

    Raises:
        BenchError: if those have seen the fold's novel classes.
    """
    for entry in before:
        if entry.dataset == dataset.name and entry.fold != fold:
            raise BenchError(
                f"{source} was trained on {entry}: it has seen masks of fold {fold}'s novel "
                f"classes; start from another checkpoint"
            )
    earlier = {entry.dataset: entry.fold for entry in before if entry.dataset != dataset.name}
    return {
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "fold": fold,
        "planned_steps": job.train.steps,  # best/ and an interrupted last/ saw fewer
        "batch_size": job.train.batch_size,
        "seed": job.train.seed,
        **({"earlier": earlier} if earlier else {}),
    }


def _tokens(job: Job, clip: Path | None, parts: Parts) -> ImageTokens:
    """A new image encoder: CLIP with an untrained projection, or all untrained."""
    seed = job.train.seed
    if clip is not None:
        return load_clip(clip, int(parts.unet_config["cross_attention_dim"]), seed)
    if not job.train_tokens:
        raise BenchError(
            "tokenized_cross_attention would read an untrained image encoder that stays as it is: "
            "give CLIP with --image-encoder, or train one with train_tokens=true"
        )
    return untrained_tokens(job.size, seed)


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
