"""Features of a U-Net's decoder against diffusers' own parts, and CleanDIFT's kind of file."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from models.backbones.base import load_backbone
from models.backbones.stable_diffusion import Reading, over_unet
from models.errors import ModelError
from models.methods.diffews.parts import Parts, save_parts
from models.methods.diffews.stock import retained, stock_parts
from models.methods.diffews.synthetic import untrained_parts
from models.methods.diffews.unet import stock_config


def network(seed: int = 0) -> Parts:
    """A stock Stable Diffusion, with weights for all that is zero at the start."""
    return untrained_parts("tiny", seed, 77)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sd") / "stock"
    save_parts(network(), None, place)
    return place


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def plain(parts: Parts, images: Tensor, block: int, timestep: int, noises: int) -> Tensor:
    """DIFT with diffusers' scheduler and U-Net, noise by noise, each pass to its end."""
    unet = UNet2DConditionModel.from_config(stock_config(parts.unet_config)).eval()
    unet.load_state_dict(parts.unet.state_dict())
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    scale = parts.vae.config.scaling_factor
    latents = parts.vae.encode(images * 2 - 1).latent_dist.mean * scale
    maps: list[Tensor] = []
    unet.up_blocks[block].register_forward_hook(lambda _m, _i, output: maps.append(output))
    for seed in range(noises):
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
        noisy = scheduler.add_noise(latents, noise.expand_as(latents), torch.tensor([timestep]))
        unet(noisy, timestep, parts.prompt.expand(2, -1, -1))
    return torch.stack(maps).mean(0)


def test_the_schedule_is_stable_diffusions() -> None:
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    torch.testing.assert_close(retained().float(), scheduler.alphas_cumprod, rtol=1e-5, atol=0)


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_features_are_those_of_a_whole_pass(folder: Path, images: Tensor, block: int) -> None:
    parts = stock_parts("x", str(folder), None, None, torch.float32)
    reading = Reading(timestep=261, ensemble=3)
    backbone = over_unet(parts, "x", f"up{block}", reading, device="cpu", dtype=torch.float32)
    found = backbone.features(images)
    assert found.shape == (2, backbone.channels, 64 // backbone.stride, 128 // backbone.stride)
    expected = plain(network(), images, block, 261, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_batch_has_the_features_of_its_images(folder: Path, images: Tensor) -> None:
    backbone = load_backbone("sd-features", str(folder), "up1+up2")
    alone = torch.cat([backbone.features(image[None]) for image in images])
    torch.testing.assert_close(backbone.features(images), alone, rtol=1e-4, atol=1e-5)


def test_readings_have_different_keys(folder: Path) -> None:
    def key(reading: Reading, layer: str) -> str:
        parts = stock_parts("x", str(folder), None, None, torch.float32)
        return over_unet(parts, "x", layer, reading, device="cpu", dtype=torch.float32).key

    readings = [Reading(), Reading(100), Reading(ensemble=1), Reading(clean=True), Reading(seed=1)]
    keys = [key(reading, layer) for reading in readings for layer in ("up0", "up1")]
    assert len(set(keys)) == len(keys)


def test_clean_features_have_no_noise_in_them(folder: Path, images: Tensor) -> None:
    def features(reading: Reading) -> Tensor:
        parts = stock_parts("x", str(folder), None, None, torch.float32)
        backbone = over_unet(parts, "x", "up1", reading, device="cpu", dtype=torch.float32)
        return backbone.features(images)

    clean = features(Reading(clean=True))
    assert torch.equal(clean, features(Reading(clean=True, seed=5)))
    assert not torch.allclose(clean, features(Reading(ensemble=1)), atol=1e-3)


def test_a_file_of_weights_replaces_the_unets(folder: Path, images: Tensor, tmp_path: Path) -> None:
    other = network(seed=1)
    file = tmp_path / "cleandift_sd21_unet.safetensors"
    save_file(dict(other.unet.state_dict()), file)
    parts = stock_parts("x", str(folder), str(file), None, torch.float32)
    backbone = over_unet(parts, "x", "up1", Reading(), device="cpu", dtype=torch.float32)
    expected = plain(network(), images, 1, 261, 8)
    assert not torch.allclose(backbone.features(images), expected, atol=1e-2)
    for name, weight in other.unet.state_dict().items():
        assert torch.equal(parts.unet.state_dict()[name], weight)
    assert parts.digest != stock_parts("x", str(folder), None, None, torch.float32).digest


def test_a_file_that_lacks_a_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    state = dict(network().unet.state_dict())
    state.pop("conv_in.bias")
    state["adapter.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(ModelError, match=r"1 missing \(conv_in.bias\), 1 unexpected \(adapter"):
        stock_parts("x", str(folder), str(tmp_path / "short.safetensors"), None, torch.float32)


def test_an_unknown_block_is_answered_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"sd-features: unknown layer 'up7'; did you mean up"):
        load_backbone("sd-features", str(folder), "up7")


def test_without_a_folder_it_says_what_to_give() -> None:
    told = r"give a folder of Stable.* option weights=DIR, or weights=random to"
    with pytest.raises(ModelError, match=f"the backbone sd-features has no weights: {told}"):
        load_backbone("sd-features")
    with pytest.raises(ModelError, match=f"sd-features finds no folder a/sd21: {told}"):
        load_backbone("sd-features", "a/sd21")


def test_home_is_a_folder_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_backbone("sd-features", f"~/{folder.name}").weights == folder.name
