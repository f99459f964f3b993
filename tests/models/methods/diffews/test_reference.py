"""What the authors' code gave, through the public calls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from models.geometry import Squash
from models.methods.diffews import DiffewS
from models.methods.diffews.prompt import empty_prompt, encode

Case = Callable[[str], dict[str, Tensor]]

UNET, DECODED = 3e-5, 2e-4  # float32 tolerances of the reference


def run(model: DiffewS, case: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, decoded images and masks of a case; images come in -1..1."""
    queries = case["query_img"] if "query_img" in case else case["query_imgs"]
    supports = case["support_imgs"].reshape(-1, *queries.shape[1:])
    masks = case["support_masks01"].reshape(-1, *queries.shape[2:])
    images = (supports + 1) / 2
    encoded = model.encode_support(images, masks, model.encode_image(images))
    shots = len(encoded) // len(queries)
    rows = [encoded[i * shots : (i + 1) * shots] for i in range(len(queries))]
    features = model.encode_image((queries + 1) / 2)
    latents = model.mask_latents(features, rows)
    return latents, model.decode(latents), model.binarize(model.segment(features, rows))


@pytest.mark.parametrize(
    "options",
    [{}, {"fold_upsampling": False}, {"support_features": "hidden"}, {"channels_last": True}],
    ids=["default", "stock", "hidden", "channels-last"],
)
@pytest.mark.parametrize(
    "name",
    [
        "episode_1shot_64_seed0",
        "episode_5shot_64_seed0",
        "episode_1shot_64x96_seed0",
        "episode_1shot_128_seed0",
        "batch2_2shot_64",
    ],
)
def test_episodes(reference: Path, case: Case, name: str, options: dict[str, Any]) -> None:
    expected = case(name)
    model = DiffewS.from_pretrained(reference, prompt_embeds=expected["prompt_embeds"], **options)
    latents, decoded, masks = run(model, expected)
    torch.testing.assert_close(latents, expected["x0_latent"], atol=UNET, rtol=0)
    torch.testing.assert_close(decoded, expected["decoded_raw"], atol=DECODED, rtol=0)
    if "final_mask" in expected:
        assert torch.equal(masks[0], expected["final_mask"].bool())
        assert 0.1 < masks.float().mean() < 0.9


def test_latents(reference: Path, case: Case) -> None:
    expected = case("batch2_2shot_64")
    model = DiffewS.from_pretrained(reference)
    features = model.encode_image((expected["query_imgs"] + 1) / 2)
    latents = torch.stack([f["latent"] for f in features])
    torch.testing.assert_close(latents, expected["latent_query"], atol=UNET, rtol=0)


def test_attention_mask(reference: Path, case: Case) -> None:
    expected = case("attnmask_64_b1")
    model = DiffewS.from_pretrained(
        reference, prompt_embeds=expected["prompt_embeds"], mask_injection="attention_mask"
    )
    latents, _, _ = run(model, expected)
    torch.testing.assert_close(-latents, expected["unet_output_sdpa"], atol=UNET, rtol=0)

    expected["support_masks01"] = torch.ones_like(expected["support_masks01"])
    unmasked, _, _ = run(model, expected)
    torch.testing.assert_close(-unmasked, expected["unet_output_nomask"], atol=UNET, rtol=0)
    assert (latents - unmasked).abs().max() > 100 * UNET


@pytest.mark.parametrize("size", [64, 128, 512])
def test_preprocessing(case: Case, size: int) -> None:
    expected = case("preproc_375x500")
    geometry = Squash(size)
    image = geometry.image(Image.fromarray(expected["image_uint8_hwc"].numpy()))
    assert torch.equal(image.float() / 255 * 2 - 1, expected[f"image_{size}"])
    mask = geometry.mask(expected["mask_uint8"].numpy())
    assert torch.equal(mask.float(), expected[f"mask_nearest_{size}"])


@pytest.mark.parametrize("tokens", [2, 77])
def test_empty_prompt(reference: Path, case: Case, tokens: int) -> None:
    expected = case("text_encoder")
    ids = empty_prompt(tokens)
    assert torch.equal(ids, expected[f"ids_{tokens}"])
    (embeds,) = encode(reference / "text_encoder", [ids])
    torch.testing.assert_close(embeds, expected[f"emb_{tokens}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("tokens", [2, 77])
def test_prompt_beside_the_checkpoint_is_taken(reference: Path, case: Case, tokens: int) -> None:
    model = DiffewS.from_pretrained(reference, prompt_tokens=tokens)
    assert model.parts.prompt.shape[1] == tokens
