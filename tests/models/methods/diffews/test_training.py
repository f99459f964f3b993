"""One training step against the authors', and every design against its own inference."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.methods.diffews import Design, DiffewS
from models.methods.diffews.injection import composed, mask_image
from models.methods.diffews.options import DiffewSOptions
from models.methods.diffews.parts import Parts, load_parts, save_parts
from models.methods.diffews.supervision import foreground, target_image
from models.methods.diffews.synthetic import random_parts
from models.methods.diffews.training.objective import DiffewSLoss
from models.methods.diffews.unet import learn
from models.segmenter import Features

Case = Callable[[str], dict[str, Tensor]]

DESIGNS: list[dict[str, Any]] = [
    {},
    {"mask_injection": "multiplication"},
    {"mask_injection": "multiplication_latent"},
    {"mask_injection": "attention_mask"},
    {"mask_injection": "addition"},
    {"supervision": "real_fg_black_bg"},
    {"supervision": "black_fg_real_bg"},
    {"supervision": "mask_on_image"},
    {"generation": "mi2m"},
    {"generation": "mi2m", "noise_schedule": "strong"},
    {"generation": "mn2m"},
    *(
        {"interaction": "tokenized_cross_attention", "mask_injection": how}
        for how in ("multiplication", "attention_mask", "addition")
    ),
]
NAMES = ["-".join(d.values()) or "default" for d in DESIGNS]


def batch_of(case: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "queries": case["latents_tag"],
        "targets": case["cond_latents_tag"],
        "noise": torch.zeros_like(case["latents_tag"]),
        "timesteps": torch.zeros(1, dtype=torch.long),
        "supports": case["latents_ref"],
        "support_mask_latents": case["cond_latents_ref"],
        "support_masks": case["support_masks01"],
    }


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("name", ["train_1shot_128_77tok", "train_2shot_128_2tok"])
def test_a_step_is_the_authors(reference: Path, case: Case, name: str, checkpointing: bool) -> None:
    expected = case(name)
    parts = load_parts(reference, prompt_embeds=expected["prompt_embeds"])
    parts.unet.requires_grad_(True).train()
    objective = DiffewSLoss(parts, Design(), checkpointing=checkpointing)
    batch = batch_of(expected)
    predicted, target = objective.predicted(batch)
    torch.testing.assert_close(predicted, expected["model_pred"], atol=3e-5, rtol=0)
    torch.testing.assert_close(target, expected["target"], atol=3e-5, rtol=0)
    loss = objective(batch)
    torch.testing.assert_close(loss, expected["loss"].squeeze(), atol=1e-5, rtol=1e-5)
    loss.backward()
    gradients = {n: p.grad for n, p in parts.unet.named_parameters()}
    for key in [key for key in expected if key.startswith("grad.")]:
        found = gradients[key.removeprefix("grad.")]
        torch.testing.assert_close(found, expected[key], atol=1e-4, rtol=1e-3)
    norms = json.loads((reference / "cases" / f"{name}.gradnorms.json").read_text())
    found_norms = {n: g.norm().item() for n, g in gradients.items() if g is not None}
    assert found_norms == pytest.approx(norms["grad_norms"], rel=1e-3, abs=1e-6)
    total = sum(norm**2 for norm in found_norms.values()) ** 0.5
    assert total == pytest.approx(norms["total_grad_norm"], rel=1e-4)


def test_the_latents_of_the_reference_step_are_the_vaes_means(reference: Path, case: Case) -> None:
    expected = case("train_1shot_128_77tok")
    model = DiffewS.from_pretrained(reference)
    masks = mask_image(expected["query_mask01"])
    features = model.encode_image((torch.cat([expected["query_img"], masks]) + 1) / 2)
    latents = torch.stack([f["latent"] for f in features])
    wanted = torch.cat([expected["latents_tag"], expected["cond_latents_tag"]])
    torch.testing.assert_close(latents, wanted, atol=3e-5, rtol=0)


def scene(design: Design) -> tuple[Parts, dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Two queries with two supports each, as pixels and as the loss reads them."""
    parts = random_parts("tiny", 3, 2, torch.float32, design)
    generator = torch.Generator().manual_seed(1)
    queries, supports = (torch.rand(n, 3, 64, 64, generator=generator) for n in (2, 4))
    masks = (torch.rand(4, 64, 64, generator=generator) > 0.5).float()

    def latents(images: Tensor) -> Tensor:
        with torch.no_grad():
            return parts.vae.encode(images).latent_dist.mean * parts.vae.config.scaling_factor

    seen = composed(supports * 2 - 1, masks, design.mask_injection)
    batch = {
        "queries": latents(queries * 2 - 1),
        "targets": torch.randn(2, 4, 8, 8, generator=generator),
        "noise": torch.randn(2, 4, 8, 8, generator=generator),
        "timesteps": torch.tensor([0, 0]),
        "supports": latents(seen),
        "support_images": seen,
        "support_masks": masks,
        "support_mask_latents": latents(mask_image(masks)),
    }
    return parts, batch, (queries, supports, masks)


@pytest.mark.parametrize("choices", DESIGNS, ids=NAMES)
def test_training_sees_what_the_segmenter_sees(choices: dict[str, Any]) -> None:
    design = Design(**choices)
    parts, batch, (queries, supports, masks) = scene(design)
    trained = DiffewSLoss(parts, design).generate(batch, steps=2)
    options = DiffewSOptions(resolution=64, denoising_steps=2, **design.model_dump())
    model = DiffewS(parts, options)
    encoded = model.encode_support(supports, masks, model.encode_image(supports))
    rows: list[list[Features]] = [encoded[:2], encoded[2:]]
    tested = model.mask_latents(model.encode_image(queries), rows)
    torch.testing.assert_close(tested, trained, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(tested, model.mask_latents(model.encode_image(queries), rows[::-1]))


@pytest.mark.parametrize("choices", DESIGNS, ids=NAMES)
def test_every_design_learns_and_its_checkpoint_opens(
    choices: dict[str, Any], tmp_path: Path
) -> None:
    design = Design(**choices)
    parts, batch, _ = scene(design)
    objective = DiffewSLoss(parts, design)
    learn(parts.unet, design)
    if parts.tokens is not None:
        parts.tokens.learn(encoder=True)
    weights = [weight for weight in objective.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-3)
    before = objective(batch)
    before.backward()
    # Several processes that train together wait for every one of these.
    assert all(weight.grad is not None for weight in weights)
    optimizer.step()
    assert objective(batch) < before
    save_parts(parts, design, tmp_path)
    model = DiffewS.from_pretrained(tmp_path, resolution=64)
    assert model.design == design
    for name, weight in model.parts.unet.named_parameters():
        assert torch.equal(weight, dict(parts.unet.named_parameters())[name])


@pytest.mark.parametrize(
    "form", ["white_fg_black_bg", "real_fg_black_bg", "black_fg_real_bg", "mask_on_image"]
)
def test_the_inverse_of_an_ideal_target_is_the_mask(form: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 16, 16, generator=generator) * 0.8 + 0.2
    masks = (torch.rand(2, 16, 16, generator=generator) > 0.6).float()
    decoded = (target_image(images * 2 - 1, masks, form) + 1) / 2
    score = foreground(decoded, images, form).mean(1)
    assert score[masks == 0].max() < 1e-3
    assert score[masks == 1].min() > 0.19
    if form in ("white_fg_black_bg", "mask_on_image"):
        torch.testing.assert_close(score, masks, atol=1e-5, rtol=0)


def test_supports_of_one_query_do_not_reach_the_other() -> None:
    parts, batch, _ = scene(Design())
    objective = DiffewSLoss(parts, Design())
    whole, _ = objective.predicted(batch)
    for query in range(2):
        one = {
            name: value[2 * query : 2 * query + 2] if len(value) == 4 else value[query : query + 1]
            for name, value in batch.items()
        }
        alone, _ = objective.predicted(one)
        torch.testing.assert_close(alone, whole[query : query + 1], atol=1e-5, rtol=1e-4)
