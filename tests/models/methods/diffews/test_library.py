"""Little of diffusers is imported, and nobody notices."""

import json
import subprocess
import sys
from typing import Any

import pytest

CODE = """
import json, sys, torch
if {whole}:
    import diffusers
    diffusers.UNet2DConditionModel
from models.catalog import load_model
from models.methods.diffews.synthetic import random_parts
parts = random_parts("tiny", 0, 2, torch.float32)
model = load_model("diffews", {{"random": "tiny", "resolution": 64}})
images = torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64)
features = model.encode_image(images)
supports = model.encode_support(images, images[:, 0].round(), features)
scores = model.segment(features, [supports])
latents = torch.linspace(-1, 1, 256).view(1, 4, 8, 8)
with torch.no_grad():
    unet = parts.unet(latents, 1, parts.prompt).sample
    image = parts.vae.decode(latents).sample
    latent = parts.vae.encode(image).latent_dist.mode()
heavy = [name for name in ("scipy", "transformers", "torch._dynamo") if name in sys.modules]
models = [name for name in sys.modules if name.startswith("diffusers.models")]
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import PeftAdapterMixin
import torch._dynamo
print(json.dumps({{
    "heavy": heavy,
    "models": len(models),
    "sums": [float(part.double().sum()) for part in (unet, image, latent, scores)],
    "whole": [
        issubclass(UNet2DConditionModel, PeftAdapterMixin),
        hasattr(UNet2DConditionModel, "load_attn_procs"),
        hasattr(AutoencoderKL, "from_single_file"),
        callable(torch._dynamo.optimize),
    ],
    "again": type(random_parts("tiny", 0, 2, torch.float32).unet) is type(parts.unet),
}}))
"""


def told(whole: bool) -> Any:
    command = [sys.executable, "-c", CODE.format(whole=whole)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def little() -> Any:
    return told(whole=False)


def test_little_is_imported(little: Any) -> None:
    assert (little["heavy"], little["models"]) == ([], 0)


def test_the_networks_are_those_of_the_whole_library(little: Any) -> None:
    whole = told(whole=True)
    assert "transformers" in whole["heavy"]
    assert little["sums"] == whole["sums"]


def test_who_imports_diffusers_afterwards_finds_it_whole(little: Any) -> None:
    assert all(little["whole"]) and little["again"]
