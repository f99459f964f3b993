"""The painted latents against a plain loop over one batch of four, with diffusers' parts."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.diffews.parts import save_parts
from models.methods.diffews.synthetic import untrained_parts
from models.methods.diffews.unet import stock_config
from models.methods.sd_incontext import SDInContext
from models.methods.sd_incontext.inversion import adapted, trajectory
from models.segmenter import Features

A, B, C, D = range(4)


class PlainSwap:
    """A processor for a batch of support, its mask, query and painting, in this order."""

    def __init__(self, temperature: float, contrast: float) -> None:
        self.temperature, self.contrast, self.on = temperature, contrast, False

    def __call__(self, attn: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        q, k, v = (proj(hidden_states) for proj in (attn.to_q, attn.to_k, attn.to_v))
        rows, width = [], hidden_states.shape[2] // attn.heads
        for row in range(4):
            swap = self.on and row == D
            query, key, value = (q[C], k[A], v[B]) if swap else (q[row], k[row], v[row])
            heads = []
            for head in range(attn.heads):
                part = slice(head * width, (head + 1) * width)
                logits = query[:, part] @ key[:, part].T / math.sqrt(width)
                weights = (logits / (self.temperature if swap else 1)).softmax(1)
                if swap:
                    mean = weights.mean(1, keepdim=True)
                    weights = (self.contrast * (weights - mean) + mean).clip(0, 1)
                heads.append(weights @ value[:, part])
            rows.append(torch.cat(heads, 1))
        return attn.to_out[0](torch.stack(rows))  # type: ignore[no-any-return]


@torch.inference_mode()
def plain(model: SDInContext, support: Features, query: Tensor) -> Tensor:
    """One query with one support."""
    parts, options = model.parts, model.options
    unet = UNet2DConditionModel.from_config(stock_config(parts.unet_config)).eval()
    state = {k: v for k, v in parts.unet.state_dict().items() if not k.startswith("conv_in_")}
    unet.load_state_dict(state)
    swap = PlainSwap(options.temperature, options.contrast)
    ours = {
        name: swap if name.startswith("up_blocks") and "attn1" in name else processor
        for name, processor in unet.attn_processors.items()
    }
    unet.set_attn_processor(ours)
    paths = [
        trajectory(latent[None], model.steps, seed)
        for latent, seed in ((support["image"], 1), (support["mask"], 2), (query, 0))
    ]
    painting = paths[C][0]
    prompt = parts.prompt.expand(4, -1, -1)
    for index, step in enumerate(model.steps):
        batch = torch.cat([*(path[index] for path in paths), painting])
        swap.on = False
        without = unet(batch, step.timestep, prompt).sample
        swap.on = True
        within = unet(batch, step.timestep, prompt).sample
        part = index / (len(model.steps) - 1)
        strength = options.guidance * (1 - part) + max(options.guidance / 2, 1) * part
        output = without[D] + strength * (within[D] - without[D])
        noise = paths[C][index + 1][0] - step.mean(batch[C], without[C])
        last = index == len(model.steps) - 1
        painting = (step.mean(batch[D], output) + (0 if last else noise))[None]
        painting = adapted(painting, paths[B][index + 1][None])
    return painting[0]


def build(**options: object) -> SDInContext:
    model = load_model("sd-incontext", {"random": "tiny", "resolution": 64, "steps": 4, **options})
    assert isinstance(model, SDInContext)
    return model


@pytest.fixture(scope="module")
def scene() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(3, 1, 4, 4, generator=generator) > 0.5
    masks = torch.nn.functional.interpolate(coarse.float(), (64, 64))[:, 0]
    return torch.rand(3, 3, 64, 64, generator=generator), masks


def encoded(
    model: SDInContext, scene: tuple[Tensor, Tensor]
) -> tuple[list[Features], list[Features]]:
    features = model.encode_image(scene[0])
    return features, model.encode_support(*scene, features)


@pytest.mark.parametrize("keep", ["latents", "kv"])
def test_it_is_the_plain_loop(scene: tuple[Tensor, Tensor], keep: str) -> None:
    model = build(support_features=keep)
    features, supports = encoded(model, scene)
    queries = torch.stack([f["latent"] for f in features[:2]])
    found = model.paint(queries, [[supports[2]], [supports[1]]])
    torch.testing.assert_close(
        found[0], plain(model, supports[2], queries[0]), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        found[1], plain(model, supports[1], queries[1]), rtol=1e-3, atol=1e-3
    )


def test_copies_of_a_support_are_one(scene: tuple[Tensor, Tensor]) -> None:
    model = build(contrast=1.0)
    features, supports = encoded(model, scene)
    query = features[0]["latent"][None]
    once, thrice = (model.paint(query, [[supports[1]] * count]) for count in (1, 3))
    torch.testing.assert_close(once, thrice, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("change", [{"layers": "all"}, {"guidance": 1.0}, {"adain": False}])
def test_options_and_supports_change_the_painting(
    scene: tuple[Tensor, Tensor], change: dict[str, object]
) -> None:
    usual, other = build(), build(**change)
    features, supports = encoded(usual, scene)
    query = features[0]["latent"][None]
    first = usual.paint(query, [[supports[1]]])
    assert (first - other.paint(query, [[supports[1]]])).abs().max() > 1e-3
    assert (first - usual.paint(query, [[supports[2]]])).abs().max() > 1e-3


def test_it_keeps_the_contract() -> None:
    findings = check_segmenter(build(steps=2))
    assert [f for f in findings if not f.passed] == []


@pytest.mark.parametrize(
    ("config", "found"),
    [('{"prediction_type": "epsilon"}', "epsilon"), ("{}", "epsilon"), (None, "v_prediction")],
)
def test_the_scheduler_says_what_is_predicted(
    tmp_path: Path, config: str | None, found: str
) -> None:
    save_parts(untrained_parts("tiny", 0, 77), None, tmp_path)  # writes a v_prediction
    if config is not None:
        (tmp_path / "scheduler" / "scheduler_config.json").write_text(config)
    model = load_model("sd-incontext", {"checkpoint": str(tmp_path), "resolution": 64, "steps": 2})
    assert model.config["prediction"] == found


def test_an_unknown_prediction_is_named(tmp_path: Path) -> None:
    save_parts(untrained_parts("tiny", 0, 77), None, tmp_path)
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.write_text('{"prediction_type": "sample"}')
    with pytest.raises(ModelError, match=r"scheduler_config.json has prediction_type 'sample'"):
        load_model("sd-incontext", {"checkpoint": str(tmp_path)})
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot tell what the U-Net predicts: .*prediction=eps"):
        load_model("sd-incontext", {"checkpoint": str(tmp_path)})
