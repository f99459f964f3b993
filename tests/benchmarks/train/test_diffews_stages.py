"""The three stages on tiny data: each gives what the next begins with, killed or whole."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from benchmarks.cli import main
from benchmarks.errors import BenchError
from benchmarks.train.job import explained, load_job, presets
from datasets_prep.prepared.dataset import PreparedDataset
from models.methods.diffews.parts import write_vae
from models.methods.diffews.synthetic import untrained_parts
from tests.tiny import tiny_dataset

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SMALL = {"size": "tiny", "resolution": "64", "train.batch_size": "2"}
PROMPT = ("--set", "prompt_tokens=2")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"), images=120)


@pytest.fixture(scope="module")
def bench(dataset: PreparedDataset) -> Any:
    def run(*args: str, code: int = 0) -> Result:
        environment = {"BENCH_DATA": str(dataset.root.parent), "OMP_NUM_THREADS": "1"}
        result = CliRunner().invoke(main, args, env=environment)
        assert result.exit_code == code, result.output
        return result

    return run


def flags(**changes: object) -> list[str]:
    named = {**SMALL, **{k.replace("__", "."): str(v) for k, v in changes.items()}}
    return [part for name, value in named.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def pretrained(bench: Any, dataset: PreparedDataset, tmp_path_factory: Any) -> Path:
    """A tiny Stable Diffusion: VAE and U-Net of two steps each."""
    out = tmp_path_factory.mktemp("pretrained")
    data = ("-d", dataset.name, "--device", "cpu", "-q")
    bench("train", "vae", *data, "--out", str(out / "vae"), *flags(train__steps=2, crop=32))
    source = ("--from", str(out / "vae" / "last"), "--out", str(out / "unet"))
    bench("train", "unet", *data, *source, *flags(train__steps=2), *PROMPT)
    return out / "unet" / "last"


def command(dataset: PreparedDataset, source: Path, out: Path, **changes: object) -> list[str]:
    settings = {"train__save_every": 2, "validation": 2, "shots": 2, **changes}
    data = ["-d", dataset.name, "--fold", "0", "--from", str(source), "--device", "cpu", "-q"]
    return ["train", "diffews", *data, "--out", str(out), *flags(**settings), *PROMPT]


def test_the_stages_end_in_a_model_that_runs(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "diffews"
    bench(*command(dataset, pretrained, out, train__steps=3, train__ema=0.9, augment=True))
    assert (out / "loss.png").stat().st_size > 1000
    assert list((out / "pictures").glob("*.png"))
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    schedule = json.loads((out / "last" / "scheduler" / "scheduler_config.json").read_text())
    assert schedule["beta_start"] == 1.0
    given = ("--option", f"checkpoint={out / 'last'}", "--option", "resolution=64")
    store = ("--results-root", str(tmp_path / "results"), "--limit", "2", "--shots", "1", "-q")
    bench("run", "--models", "diffews", "--datasets", dataset.name, *given, *store)
    leaking = [*command(dataset, out / "last", tmp_path / "leaking"), "--fold", "1"]
    assert "fold 0 of tiny (header of diffusion_pytorch_model.safetensors)" in " ".join(
        bench(*leaking, code=2).output.split()
    )


def test_a_killed_training_ends_in_the_same_weights(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    steps = {"train__steps": 6, "train__ema": 0.9}
    bench(*command(dataset, pretrained, tmp_path / "whole", **steps))
    torn = command(dataset, pretrained, tmp_path / "torn", **steps)
    code = "from benchmarks.cli import main; main()"
    environment = {**os.environ, "BENCH_DATA": str(dataset.root.parent), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, *torn], env=environment)
    log = tmp_path / "torn" / "log.csv"
    while process.poll() is None and not (log.exists() and len(log.read_text().split()) > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "torn" / "state.pt").exists()
    refused = bench(*torn, code=2)
    assert "go on with --resume" in refused.output
    for changed, said in (
        ({"train__rate": 0.1}, "begun with rate=1e-05, this is 0.1"),
        ({"train__steps": 7}, "begun with steps=6, this is 7"),
    ):
        other = command(dataset, pretrained, tmp_path / "torn", **{**steps, **changed})
        assert said in bench(*other, "--resume", code=2).output
    bench(*torn, "--resume")
    for name in ("last", "best"):
        whole, again = (load_file(tmp_path / run / name / WEIGHTS) for run in ("whole", "torn"))
        assert all(torch.equal(whole[key], again[key]) for key in whole)
    steps_of = [row["step"] for row in csv.DictReader(log.open())]
    assert steps_of == [str(step) for step in range(1, 7)]


@pytest.mark.parametrize("pieces", ["accumulated", "two processes"])
def test_however_a_batch_is_cut_it_teaches_the_same(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path, pieces: str
) -> None:
    steps = {"train__steps": 2, "train__batch_size": 4, "train__rate": 1e-4, "validation": 0}
    if pieces == "two processes":
        steps["design__generation"] = "mn2m"  # has an input convolution that nothing reads
    bench(*command(dataset, pretrained, tmp_path / "one", **steps))
    if pieces == "accumulated":
        bench(*command(dataset, pretrained, tmp_path / "cut", **steps, train__accumulate=2))
    else:
        args = command(dataset, pretrained, tmp_path / "cut", **steps)
        args.remove("-q")
        # --multi_gpu is what accelerate calls its launcher of several processes.
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
        launch += ["--num_processes=2", "--num_machines=1", "--mixed_precision=no"]
        launch += ["--dynamo_backend=no", "--main_process_port=0"]
        launch += [str(Path(sys.executable).with_name("bench"))]
        environment = {
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "BENCH_DATA": str(dataset.root.parent),
            "OMP_NUM_THREADS": "1",
        }
        told = subprocess.run(
            [*launch, *args], env=environment, check=True, timeout=300, capture_output=True
        ).stdout.decode()
        assert told.count("on 2 process(es)") == 1
    losses = [
        [float(row["loss"]) for row in csv.DictReader((tmp_path / run / "log.csv").open())]
        for run in ("one", "cut")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    one, cut = (load_file(tmp_path / run / "last" / WEIGHTS) for run in ("one", "cut"))
    for key in one:
        torch.testing.assert_close(cut[key], one[key], atol=2e-5, rtol=1e-3)


def test_latents_on_disk_change_nothing(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    kept = ("--latents", str(tmp_path / "latents"))
    for run in ("first", "second"):
        bench(*command(dataset, pretrained, tmp_path / run, train__steps=2), *kept)
    first, second = (load_file(tmp_path / run / "last" / WEIGHTS) for run in ("first", "second"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(list((tmp_path / "latents").rglob("*.safetensors"))) > 4


def test_an_image_encoder_is_given_or_trained_and_stays_the_same(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    tokenized = {
        "design__interaction": "tokenized_cross_attention",
        "design__mask_injection": "attention_mask",
        "train__steps": 1,
        "validation": 0,
    }
    frozen = bench(*command(dataset, pretrained, tmp_path / "frozen", **tokenized), code=2)
    assert "give CLIP with --image-encoder" in frozen.output
    trained = {**tokenized, "train_tokens": True}
    bench(*command(dataset, pretrained, tmp_path / "out", **trained))
    other = command(dataset, pretrained, tmp_path / "out", **trained, train__seed=1)
    assert "begun with image_encoder=" in bench(*other, "--resume", code=2).output


def test_one_support_is_not_trained_shots(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    told = bench(*command(dataset, pretrained, tmp_path, shots=1), code=2).output
    assert "design.shots=inference_only" in told


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_are_valid(name: str) -> None:
    assert load_job(name, {}).train.steps > 0


def test_the_published_preset_is_the_papers() -> None:
    job = load_job("coco20i", {})
    assert (job.train.steps, job.train.batch_size, job.train.rate) == (10000, 16, 1e-5)
    assert (job.train.schedule, job.train.weight_decay, job.resolution) == ("linear", 0.01, 512)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": "60"}, "resolution: 60 is not a multiple of 8; take 56"),
        ({"crop": "7"}, "crop: Input should be greater than or equal to 8"),
        ({"train.step": "5"}, "did you mean train.steps"),
        ({"train.steps": "none"}, "train.steps"),
        ({"train.batch_size": "5", "train.accumulate": "2"}, "does not divide"),
        ({"design.generation": "m2m"}, "design.generation"),
        ({"design.interaction": "tokenized_cross_attention"}, "cannot go with concatenation"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        load_job(None, changes)


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("vae", "shots"),
        ("vae", "design.generation"),
        ("unet", "crop"),
        ("unet", "train.gradient_checkpointing"),
        ("diffews", "crop"),
        ("ablate", "design.shots"),
    ],
)
def test_a_setting_that_nobody_reads_is_refused(reader: str, name: str) -> None:
    with pytest.raises(BenchError, match=f"{name}: {reader} does not read this setting"):
        load_job("tiny-diffews", {name: "1"}, reader)
    assert load_job("tiny-diffews", {"train.steps": "1", "resolution": "64"}, reader).shots == 3


def test_yamls_no_is_a_precision() -> None:
    assert load_job("coco20i", {"train.precision": "no"}).train.precision == "no"


def test_the_choices_of_a_design_are_listed() -> None:
    texts = {name: text for name, _, text in explained()}
    assert texts["design.generation"] == "oi2m, mi2m, mn2m"
    assert all(texts.values())


def test_a_start_is_asked_for(bench: Any, dataset: PreparedDataset, tmp_path: Path) -> None:
    data = ("-d", dataset.name, "--out", str(tmp_path / "out"))
    for stage in (["unet"], ["diffews", "--fold", "0"]):
        assert "Missing option '--from'" in bench("train", *stage, *data, code=2).output


def test_a_vae_of_another_width_is_named(
    bench: Any, dataset: PreparedDataset, tmp_path: Path
) -> None:
    write_vae(untrained_parts("small", 0, 2), tmp_path / "small")
    data = ("-d", dataset.name, "--device", "cpu", "-q", "--from", str(tmp_path / "small"))
    told = bench("train", "unet", *data, "--out", str(tmp_path / "out"), *flags(), code=2).output
    assert "has latents of 8 channels, a U-Net of size=tiny 4" in told


def test_the_steps_of_a_checkpoint_are_those_planned(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    bench(*command(dataset, pretrained, tmp_path, train__steps=1, validation=0))
    said = json.loads((tmp_path / "last" / "training.json").read_text())
    assert said["planned_steps"] == 1 and "steps" not in said


def test_a_prompt_of_another_length_is_not_trained_with(
    bench: Any, dataset: PreparedDataset, pretrained: Path, tmp_path: Path
) -> None:
    args = [*command(dataset, pretrained, tmp_path / "out"), "--set", "prompt_tokens=77"]
    assert "embeddings of [2] tokens, not of 77" in " ".join(bench(*args, code=2).output.split())
