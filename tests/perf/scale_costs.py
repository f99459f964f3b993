"""What a model and an episode cost, for plans past the machines that were measured.

FLOPs are two for a multiplication with its addition. Transformers are counted by formula from
their published sizes, Stable Diffusion 2.1 by torch's counter on the meta device (`count_sd21`).
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.evaluation.metrics import count
from benchmarks.results.journal import Journal, Row
from benchmarks.results.records import Setup
from models.geometry import Squash, nearest

H100_TFLOPS = {"bf16": 989.0, "fp32": 67.0}  # dense, NVIDIA's data sheet of the SXM module
USED = {"bf16": 0.35, "fp32": 0.7}  # share of it that convolutions and attention are taken to reach


def vit(layers: int, width: int, tokens: int, windowed: int = 0, window: int = 196) -> float:
    """TFLOPs of a plain vision transformer, `windowed` of whose layers attend within windows."""
    dense = layers * 24 * tokens * width**2
    whole = (layers - windowed) * 4 * tokens**2 * width
    return (dense + whole + windowed * 4 * tokens * window * width) / 1e12


VAE_ENCODE, VAE_DECODE, UNET = 1.117, 2.515, 0.804  # of SD 2.1 at 512², by `count_sd21`
DINOV2_518, DINOV2_1022 = vit(24, 1024, 1370), vit(24, 1024, 5330)
DINOV3_1024 = vit(24, 1024, 4101)
SAM_H = vit(32, 1280, 4096, windowed=28)
SEGGPT = vit(24, 1024, 1568)
CLIP_B = vit(12, 768, 485) + vit(12, 768, 197)
SAM_PROMPT = 0.007  # mask decoder, one prompt
RESNET50_400 = 0.026
HIERA_L = 1.6


@dataclass(frozen=True)
class ModelCost:
    """One model.

    Attributes:
        image: TFLOPs of `encode_image`, for one.
        support: TFLOPs of `encode_support`, for one.
        segment: TFLOPs of `segment` for one episode, and `each` more for every support.
        wait: seconds of a batch of `segment` that no faster GPU saves: small kernels, loops.
        weights: GB of the weights in bf16.
        features: MB kept of an image, and of a support, in bf16.
        side: of the grid, in pixels.
    """

    image: float
    support: float
    segment: float
    each: float
    wait: float
    weights: float
    features: tuple[float, float]
    side: int


MODELS = {
    "diffews": ModelCost(VAE_ENCODE, VAE_ENCODE + UNET, UNET + VAE_DECODE, 0.06, 0.03, 1.9,
                         (0.03, 46), 512),
    "seggpt": ModelCost(0, 0, 0, SEGGPT, 0.02, 0.7, (1.2, 1.6), 448),
    "clipseg": ModelCost(CLIP_B, CLIP_B, 0.01, 0, 0.01, 0.3, (2, 0.01), 352),
    "persam": ModelCost(SAM_H, 0.01, 3 * SAM_PROMPT, 0, 0.05, 1.3, (2.1, 0.01), 1024),
    "persam-f": ModelCost(SAM_H, 0.2, 3 * SAM_PROMPT, 0, 1.0, 1.3, (2.1, 0.01), 1024),
    "sam2-memory": ModelCost(HIERA_L, 0.05, 0.1, 0.1, 0.03, 0.5, (12, 0.6), 1024),
    "matcher": ModelCost(DINOV2_518 + SAM_H, 0.01, 128 * SAM_PROMPT, 0.05, 1.0, 1.9, (5, 3),
                         518),
    "gf-sam": ModelCost(DINOV2_1022 + SAM_H, 0.01, 100 * SAM_PROMPT, 0.06, 0.5, 1.9, (13, 11),
                        1024),
    "insid3": ModelCost(DINOV3_1024, 0.01, 0.05, 0.05, 0.1, 0.6, (8, 8), 1024),
    "hsnet": ModelCost(RESNET50_400, 0, 0, 0.04, 0.02, 0.1, (12, 12), 400),
    "patnet": ModelCost(RESNET50_400, 0.01, 0, 0.05, 0.02, 0.1, (12, 12), 400),
    "vrp-sam": ModelCost(RESNET50_400 + SAM_H, 0.03, 0.05, 0.03, 0.03, 1.4, (3, 1), 512),
    "prototype": ModelCost(0.002, 0, 0, 0, 0.002, 0.01, (0.1, 0.01), 320),
    "dense-nn": ModelCost(0.002, 0, 0.001, 0.001, 0.003, 0.01, (0.1, 0.1), 320),
}  # fmt: skip


@dataclass(frozen=True)
class HostCost:
    """Seconds of one core.

    Attributes:
        decode: of one image, by side of the grid that it is resized to.
        mask: of reading one label map and resizing its mask.
        score: of one episode, on a grid of 400² and at original size.
        row: of keeping one episode's row.
        bytes: kept of an episode in the end.
    """

    decode: dict[int, float]
    mask: float
    score: tuple[float, float]
    row: float
    bytes: float


BYTES = 14.0  # of an episode in `episodes.parquet` and `run.json`, in runs of a thousand
# `measured()` on one core of an AMD EPYC virtual machine, images of 500×375 pixels.
HOST = HostCost(
    {320: 0.0025, 400: 0.0030, 512: 0.0061, 1024: 0.0097}, 0.0010, (0.0007, 0.0005), 2e-6, BYTES
)


def measured(setup: Setup, folder: Path) -> HostCost:
    """The host's costs on this machine, in processor time, so that other work hardly counts."""
    torch.set_num_threads(1)
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (75, 100, 3)).astype(np.uint8)
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(jpeg, "JPEG")
    label = np.zeros((375, 500), np.uint8)
    label[100:300, 100:300] = 7
    Image.fromarray(label).save(png, "PNG")

    def decode(side: int) -> None:
        with Image.open(io.BytesIO(jpeg.getvalue())) as image:
            Squash(side).image(image.convert("RGB"))

    def mask() -> None:
        read = np.asarray(Image.open(io.BytesIO(png.getvalue())))
        Squash(400).mask((read == 7).view("uint8"))

    scores = torch.from_numpy(random.rand(1, 128, 128).astype(np.float32))

    def score(target: tuple[int, int]) -> None:
        predicted = Squash(400).scores(scores, (375, 500), target)[0] > 0.5
        count(predicted.numpy(), nearest(torch.from_numpy(label), target).numpy())

    rows = [Row(number, 0, (1, 2, 3, 4), 1.0) for number in range(8)]
    with Journal(folder, setup, "fresh") as journal:
        row = per_call(lambda: journal.append(rows, 0.1)) / 8
    return HostCost(
        {side: per_call(lambda side=side: decode(side)) for side in (320, 400, 512, 1024)},
        per_call(mask),
        (per_call(lambda: score((400, 400))), per_call(lambda: score((375, 500)))),
        row,
        BYTES,
    )


def per_call(call: Callable[[], object], calls: int = 100) -> float:
    """Processor seconds a call; the least of five times."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(calls // 5):
            call()
        best = min(best, (time.process_time() - begin) / (calls // 5))
    return best


def count_sd21() -> dict[str, float]:
    """TFLOPs of Stable Diffusion 2.1's parts at 512², counted without computing."""
    from torch.utils.flop_counter import FlopCounterMode

    from models.methods.diffews.parts import build_vae
    from models.methods.diffews.synthetic import _UNET, _VAE
    from models.methods.diffews.unet import build_unet

    ends = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }
    with torch.device("meta"), torch.no_grad():
        unet = build_unet(
            {
                "in_channels": 4,
                "out_channels": 4,
                "use_linear_projection": True,
                **_UNET["sd21"],
            }
        )
        vae = build_vae({**ends, **_VAE["sd21"]})
        latent, text = torch.zeros(1, 4, 64, 64), torch.zeros(1, 77, 1024)
        calls: dict[str, Callable[[], object]] = {
            "U-Net": lambda: unet(latent, torch.zeros(1), text),
            "VAE encoder": lambda: vae.encoder(torch.zeros(1, 3, 512, 512)),
            "VAE decoder": lambda: vae.decoder(latent),
        }
        counted = {}
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            counted[name] = counter.get_total_flops() / 1e12
    return counted
