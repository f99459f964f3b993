"""DiffewS' four questions asked at one budget: every answer trained alike, and scored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.config.schema import BenchConfig, DatasetConfig, ModelConfig
from benchmarks.engines.listener import Listener
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import miou
from benchmarks.protocols.catalog import PROTOCOLS
from benchmarks.results.journal import is_complete
from benchmarks.results.store import RunKey, protocol_folder, read_result
from benchmarks.train.config import FREE
from benchmarks.train.job import Job
from benchmarks.train.launch import Places, run_job
from benchmarks.train.questions import ROWS, TRAININGS, Row
from benchmarks.train.state import SETTINGS, STATE, open_run
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.progress import Progress
from datasets_prep.runtime.whole import write_whole
from models.methods.diffews.checkpoint import digest_of, joined, part_folder, weight_files
from models.methods.diffews.design import Design
from models.registry import unknown

SEEDS = 3
PROTOCOL = "fixed-v1"


@dataclass(frozen=True)
class Ablation:
    """What the table is measured on.

    Attributes:
        data_root: of prepared datasets.
        dataset: a prepared one.
        fold: whose base classes all rows train on, and whose novel classes they are scored on.
        source: the Stable Diffusion that all rows start from.
        image_encoder: CLIP's folder, or None for an untrained one.
        job: of every row but for its design and seed.
        seeds: trainings of each.
        limit: episodes of each score.
        out: folder of the trainings, their results and `ablation.json`.
    """

    data_root: Path
    dataset: str
    fold: int
    source: Path
    image_encoder: Path | None
    job: Job
    seeds: int
    limit: int
    out: Path


def ablate(
    ablation: Ablation,
    progress: Progress,
    listener: Listener,
    *,
    device: str = "auto",
    threads: int = 2,
    only: Sequence[str] = (),
) -> Path | None:
    """Train and score what is missing, and write `ablation.json` once nothing is.

    Args:
        ablation: the table.
        progress: hears of the trainings.
        listener: hears of the runs.
        device: of both.
        threads: that decode images ahead.
        only: names of `TRAININGS`; all if empty. Several processes may share the work so.

    Returns:
        The file, or None while other trainings are missing.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    for name in only:
        if name not in TRAININGS:
            raise BenchError(f"--only: {unknown('training', name, TRAININGS)}")
    dataset = PreparedDataset(ablation.data_root, ablation.dataset)
    open_run(ablation.out, _settings(ablation, dataset), resume=True)
    for seed in range(ablation.seeds):
        for name, choices in TRAININGS.items():
            if only and name not in only:
                continue
            out = _folder(ablation, name, seed)
            progress.note(f"{name}, seed {seed}")
            job = _job(ablation, choices, seed)
            places = Places(
                data_root=ablation.data_root,
                dataset=ablation.dataset,
                fold=ablation.fold,
                source=ablation.source,
                image_encoder=ablation.image_encoder,
                latents=None,
                out=out,
            )
            if not (out / "done").exists():
                run_job(
                    "diffews", job, places, progress, device=device, threads=threads, resume=True
                )
                (out / "done").touch()
                (out / STATE).unlink()  # three times the weights, and of no further use
            for row in [row for row in ROWS if row.training == name]:
                if not is_complete(_key(ablation, row, seed).folder(_results(ablation))):
                    run_matrix(_matrix(ablation, row, seed, device, threads), listener=listener)
    return _collected(ablation, dataset)


def _settings(ablation: Ablation, dataset: PreparedDataset) -> Mapping[str, object]:
    """What all trainings of a table share, so that no table is made of two."""
    begun_with = [part_folder(ablation.source / part, part) for part in ("unet", "vae")]
    return {
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "fold": ablation.fold,
        "source": joined([digest_of(weight_files(part)) for part in begun_with]),
        "image_encoder": _clip_digest(ablation.image_encoder),
        "job": ablation.job.model_dump(mode="json", exclude={"design": True, "train": set(FREE)}),
    }


def _clip_digest(folder: Path | None) -> str | None:
    if folder is None:
        return None
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        raise BenchError(f"--image-encoder {folder} holds no weights (model.safetensors)")
    return digest_of(files)


def _job(ablation: Ablation, choices: Mapping[str, str], seed: int) -> Job:
    design = Design(**dict(choices))
    train = ablation.job.train.model_copy(update={"seed": ablation.job.train.seed + seed})
    return ablation.job.model_copy(update={"design": design, "train": train})


def _folder(ablation: Ablation, training: str, seed: int) -> Path:
    return ablation.out / training / f"seed{seed}"


def _model(row: Row, seed: int) -> str:
    thinned = "-subsampled" if row.options else ""
    return f"{row.training}{thinned}-seed{seed}"


def _results(ablation: Ablation) -> Path:
    return ablation.out / "results"


def _key(ablation: Ablation, row: Row, seed: int) -> RunKey:
    place = protocol_folder(PROTOCOL, ablation.limit)
    return RunKey(ablation.dataset, place, _model(row, seed), ablation.fold, row.shots)


def _matrix(ablation: Ablation, row: Row, seed: int, device: str, threads: int) -> BenchConfig:
    options: dict[str, Any] = {
        "checkpoint": str(_folder(ablation, row.training, seed) / "last"),
        "resolution": ablation.job.resolution,
        "prompt_tokens": ablation.job.prompt_tokens,
        "denoising_steps": ablation.job.denoising_steps,
        **row.options,
    }
    name = _model(row, seed)
    return BenchConfig(
        data_root=ablation.data_root,
        results_root=_results(ablation),
        datasets=(
            DatasetConfig(
                name=ablation.dataset,
                protocol=PROTOCOL,
                folds=(ablation.fold,),
                shots=(row.shots,),
            ),
        ),
        models=(ModelConfig(name=name, model="diffews", options=options),),
        limit=ablation.limit,
        device=device,
        threads=threads,
    )


def _collected(ablation: Ablation, dataset: PreparedDataset) -> Path | None:
    """Write `ablation.json` if every row has all its seeds.

    Raises:
        BenchError: if the trainings did not all begin with the same network.
    """
    classes = dataset.folds.fold(ablation.fold).novel
    rows, digests = [], set()
    for row in ROWS:
        scores = []
        for seed in range(ablation.seeds):
            key = _key(ablation, row, seed)
            if not is_complete(key.folder(_results(ablation))):
                return None
            result = read_result(_results(ablation), key)
            digests.add(result.record.setup.episodes.digest)
            scores.append(miou(result.counts, classes, PROTOCOLS[PROTOCOL].undrawn))
        rows.append({**asdict(replace(row, options=dict(row.options))), "scores": scores})
    body = {
        **_settings(ablation, dataset),
        "started_from": _common_start(ablation),
        "protocol": PROTOCOL,
        "episodes": ablation.limit,
        "episode_digests": sorted(digests),
        "rows": rows,
    }
    path = ablation.out / "ablation.json"
    write_whole(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    return path


def _common_start(ablation: Ablation) -> str:
    """The digest of the weights that every training began with."""
    starts: dict[str, Path] = {}
    for name in TRAININGS:
        for seed in range(ablation.seeds):
            folder = _folder(ablation, name, seed)
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            starts.setdefault(settings["started_from"], folder)
    if len(starts) > 1:
        raise BenchError(
            f"{' and '.join(map(str, starts.values()))} were started from different weights; "
            "delete those of the wrong --from and train them again"
        )
    return next(iter(starts))
