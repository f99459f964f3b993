"""Laws of the two passes, on random weights."""

from collections.abc import Sequence

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from models.catalog import load_model
from models.methods.diffews import DiffewS
from models.methods.diffews.attention import AttentionBank
from models.methods.diffews.unet import TIMESTEP, by_layer, stock_config
from models.segmenter import Features
from tests.models.methods.diffews.conftest import Scene, make_scene

ROUNDING = 2e-5


def stacked(features: Sequence[Features]) -> Tensor:
    return torch.stack([f["latent"] for f in features])


@pytest.fixture(scope="module")
def stock(tiny: DiffewS) -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_config(stock_config(tiny.parts.unet_config))
    state = tiny.parts.unet.state_dict()
    unet.load_state_dict({k: v for k, v in state.items() if not k.startswith("conv_in_ref")})
    return unet.eval()


@torch.inference_mode()
def stock_output(stock: UNet2DConditionModel, tiny: DiffewS, latents: Tensor) -> Tensor:
    prompt = tiny.parts.prompt.expand(len(latents), -1, -1)
    return stock(latents, TIMESTEP, prompt).sample


def test_without_supports_it_is_the_stock_unet(
    tiny: DiffewS, scene: Scene, stock: UNet2DConditionModel
) -> None:
    expected = stock_output(stock, tiny, stacked(scene.latents))
    latents = tiny.mask_latents(scene.latents, [[]] * 4)
    torch.testing.assert_close(-latents, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("keep", ["kv", "hidden"])
@pytest.mark.parametrize("copies", [1, 3])
def test_copies_of_the_query_are_the_stock_unet(
    tiny: DiffewS, scene: Scene, stock: UNet2DConditionModel, keep: str, copies: int
) -> None:
    latents = stacked(scene.latents)
    with torch.inference_mode():
        kept = tiny.passes.support(latents, keep)
        each = [[tuple(state[i] for state in layer) for layer in kept] for i in range(4)]
        out = tiny.passes.query(latents, by_layer([[one] * copies for one in each], len(kept)))
    expected = stock_output(stock, tiny, latents)
    torch.testing.assert_close(out, expected, atol=ROUNDING, rtol=0)


def test_supports_and_their_masks_change_the_result(tiny: DiffewS, scene: Scene) -> None:
    alone = tiny.mask_latents(scene.latents[:1], [[]])
    seen = tiny.mask_latents(scene.latents[:1], [scene.supports[1:2]])
    flipped = tiny.encode_support(scene.images[1:2], 1 - scene.masks[1:2], scene.latents[1:2])
    other = tiny.mask_latents(scene.latents[:1], [flipped])
    assert (alone - seen).abs().max() > 100 * ROUNDING
    assert (seen - other).abs().max() > 100 * ROUNDING


def test_decoder_equals_the_stock_vae(tiny: DiffewS, scene: Scene) -> None:
    vae = AutoencoderKL.from_config(dict(tiny.parts.vae.config))
    vae.load_state_dict(tiny.parts.vae.state_dict())
    latents = stacked(scene.latents)
    with torch.inference_mode():
        expected = vae.eval().decode(latents / vae.config.scaling_factor).sample
    torch.testing.assert_close(tiny.decode(latents), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("injection", ["concatenation", "attention_mask"])
def test_a_ragged_batch_equals_its_episodes(injection: str) -> None:
    model = load_model("diffews", {"random": "tiny", "mask_injection": injection})
    scene = make_scene(model, 4)
    a, b, c, d = scene.supports
    rows = [[b], [c, d, a], [], [a]]
    batch = model.mask_latents(scene.latents, rows)
    for index, row in enumerate(rows):
        single = model.mask_latents([scene.latents[index]], [row])
        torch.testing.assert_close(batch[index], single[0], atol=ROUNDING, rtol=0)


def test_support_order_and_batching_change_only_rounding(tiny: DiffewS, scene: Scene) -> None:
    query, (a, b, c, _) = scene.latents[:1], scene.supports
    forward = tiny.mask_latents(query, [[a, b, c]])
    backward = tiny.mask_latents(query, [[c, b, a]])
    torch.testing.assert_close(forward, backward, atol=ROUNDING, rtol=0)
    alone = tiny.encode_support(scene.images[:1], scene.masks[:1], scene.latents[:1])[0]
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(tensor, a[name], atol=ROUNDING, rtol=0)


def test_features_computed_once_or_anew_give_identical_masks(tiny: DiffewS, scene: Scene) -> None:
    rows = [[scene.supports[1], scene.supports[2]], [scene.supports[0], scene.supports[3]]]
    cached = tiny.segment(scene.latents[:2], rows)
    again = make_scene(tiny, 4)
    fresh = tiny.segment(
        again.latents[:2],
        [[again.supports[1], again.supports[2]], [again.supports[0], again.supports[3]]],
    )
    assert torch.equal(cached, fresh)


def test_support_features_know_their_size_and_hidden_is_half(scene: Scene) -> None:
    model = load_model("diffews", {"random": "tiny", "support_features": "hidden"})
    hidden = make_scene(model, 4)
    tokens_by_width = 5 * (64 * 32 + 16 * 64 + 4 * 64) + 1 * 64
    assert scene.supports[0].nbytes == 4 * 2 * tokens_by_width
    assert hidden.supports[0].nbytes == 4 * tokens_by_width
    assert scene.latents[0].nbytes == 4 * 4 * 8 * 8


def test_features_may_rest_in_half_precision(tiny: DiffewS, scene: Scene) -> None:
    rested = [f.to("cpu", torch.bfloat16) for f in scene.supports]
    assert rested[0].nbytes * 2 == scene.supports[0].nbytes
    full = tiny.mask_latents(scene.latents[:1], [scene.supports[1:]])
    half = tiny.mask_latents(scene.latents[:1], [rested[1:]])
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().max() < 0.02


def test_the_support_pass_computes_nothing_after_its_last_keys(tiny: DiffewS, scene: Scene) -> None:
    unet = tiny.parts.unet
    last = unet.up_blocks[-1].attentions[-1].transformer_blocks[0]
    called: list[str] = []
    parts = {"to_q": last.attn1.to_q, "to_k": last.attn1.to_k, "ff": last.ff, "out": unet.conv_out}
    hooks = [
        part.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, part in parts.items()
    ]
    tiny.encode_support(scene.images[:1], scene.masks[:1], scene.latents[:1])
    assert called == ["to_k"]
    for hook in hooks:
        hook.remove()


def test_the_prompt_is_projected_once(
    tiny: DiffewS, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected: list[torch.Size] = []
    linear = torch.nn.functional.linear

    def spy(states: Tensor, *rest: Tensor) -> Tensor:
        projected.append(states.shape)
        return linear(states, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", spy)
    tiny.mask_latents(scene.latents, [[]] * 4)
    assert projected
    assert (4, *tiny.parts.prompt.shape[1:]) not in projected


def test_processors_sit_on_self_attentions_only_and_leave_cleanly(
    stock: UNet2DConditionModel,
) -> None:
    before = dict(stock.attn_processors)
    bank = AttentionBank(stock)
    changed = [n for n, p in stock.attn_processors.items() if p is not before[n]]
    assert len(changed) == bank.layers == 16
    assert all(name.endswith("attn1.processor") for name in changed)
    bank.remove()
    assert stock.attn_processors == before


def test_an_error_in_a_pass_leaves_the_model_usable(tiny: DiffewS, scene: Scene) -> None:
    expected = tiny.mask_latents(scene.latents[:1], [[]])
    with pytest.raises(RuntimeError):
        tiny.passes.support(torch.zeros(1, 5, 8, 8))
    with pytest.raises(RuntimeError):
        tiny.passes.query(torch.zeros(1, 3, 8, 8), [])
    assert torch.equal(tiny.mask_latents(scene.latents[:1], [[]]), expected)
