"""A small random DiffewS, and the reference checkpoint with the authors' results."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.catalog import load_model
from models.methods.diffews import DiffewS
from models.segmenter import Features


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> DiffewS:
    return load_model("diffews", {"random": "tiny", "resolution": 64})


@pytest.fixture(scope="session")
def reference(shared_dir: Path) -> Path:
    return shared_dir / "reference" / "diffews_tiny"


@pytest.fixture(scope="session")
def case(reference: Path) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: load_file(reference / "cases" / f"{name}.safetensors")


@dataclass
class Scene:
    """Images and masks, and their features by one model."""

    images: Tensor
    masks: Tensor
    latents: list[Features]
    supports: list[Features]


def make_scene(model: DiffewS, count: int, height: int = 64, width: int = 64) -> Scene:
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(count, 3, height, width, generator=generator)
    coarse = torch.rand(count, 1, height // 16, width // 16, generator=generator) > 0.5
    masks = torch.nn.functional.interpolate(coarse.float(), (height, width))[:, 0]
    latents = model.encode_image(images)
    return Scene(images, masks, latents, model.encode_support(images, masks, latents))


@pytest.fixture(scope="session")
def scene(tiny: DiffewS) -> Scene:
    return make_scene(tiny, 4)
