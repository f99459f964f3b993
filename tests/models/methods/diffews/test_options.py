import logging
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from models.catalog import load_model
from models.errors import ModelError
from models.methods.diffews import DiffewS
from models.segmenter import Features, Segmenter
from tests.models.methods.diffews.conftest import Scene, make_scene


def test_it_is_a_segmenter_with_scores_on_the_grid(tiny: DiffewS, scene: Scene) -> None:
    assert isinstance(tiny, Segmenter)
    scores = tiny.segment(scene.latents[:2], [scene.supports[2:], scene.supports[2:3]])
    assert scores.shape == (2, 64, 64) and scores.dtype == torch.float32
    masks = tiny.binarize(scores)
    assert 0.05 < masks.float().mean() < 0.95


def test_inputs_are_left_alone(tiny: DiffewS, scene: Scene) -> None:
    images, masks = scene.images.clone(), scene.masks.clone()
    before = {name: t.clone() for name, t in scene.supports[0].tensors.items()}
    make_scene(tiny, 4)
    tiny.segment(scene.latents[:1], [scene.supports[:2]])
    assert torch.equal(images, scene.images) and torch.equal(masks, scene.masks)
    assert all(torch.equal(t, scene.supports[0][name]) for name, t in before.items())


def test_an_empty_support_mask_is_allowed_and_logged(
    tiny: DiffewS, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    masks = scene.masks.clone()
    masks[1] = 0
    with caplog.at_level(logging.WARNING):
        supports = tiny.encode_support(scene.images, masks, scene.latents)
    assert [r.getMessage() for r in caplog.records] == ["support mask 2 of 4 has no foreground"]
    assert tiny.segment(scene.latents[:1], [supports]).isfinite().all()


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_stays_near(tiny: DiffewS, scene: Scene, dtype: str) -> None:
    model = load_model("diffews", {"random": "tiny"}, dtype=dtype)
    half = make_scene(model, 4)
    assert half.supports[0].nbytes * 2 == scene.supports[0].nbytes
    full = tiny.mask_latents(scene.latents[:1], [scene.supports[1:]])
    near = model.mask_latents(half.latents[:1], [half.supports[1:]])
    assert (full - near.float()).abs().mean() < 0.1 * full.std()
    assert model.segment(half.latents[:1], [half.supports[1:]]).dtype == torch.float32


@pytest.mark.parametrize(
    "options", [{"channels_last": True}, {"vae_slicing": True}, {"fold_upsampling": False}]
)
def test_layout_and_slicing_change_only_rounding(
    tiny: DiffewS, scene: Scene, options: dict[str, bool]
) -> None:
    model = load_model("diffews", {"random": "tiny", **options})
    other = make_scene(model, 4)
    expected = tiny.decode(tiny.mask_latents(scene.latents, [scene.supports[:1]] * 4))
    decoded = model.decode(model.mask_latents(other.latents, [other.supports[:1]] * 4))
    torch.testing.assert_close(decoded, expected, atol=2e-4, rtol=0)


def test_threshold_options_reach_the_scores(scene: Scene) -> None:
    relative = load_model("diffews", {"random": "tiny", "threshold": 0.35})
    absolute = load_model(
        "diffews", {"random": "tiny", "threshold": 0.35, "threshold_rule": "absolute"}
    )
    rows = [scene.supports[1:]]
    one, other = (m.segment(scene.latents[:1], rows) for m in (relative, absolute))
    # The decoded maximum is clipped to 1 on these weights, so both rules agree to rounding.
    torch.testing.assert_close(one, other)
    assert absolute.config["threshold"] == 0.35 and absolute.config["scoring"] == "exact"


def test_the_seed_fixes_random_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = load_model("diffews", {"random": "tiny"})
    assert torch.equal(torch.rand(1), expected)
    again = load_model("diffews", {"random": "tiny"})
    other = load_model("diffews", {"random": "tiny", "seed": 1})
    weights = [m.parts.unet.conv_out.weight for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert not first.comparable and first.weights_digest is None
    assert first.image_key != other.image_key


def test_the_image_key_follows_what_the_vae_computes() -> None:
    base = load_model("diffews", {"random": "tiny"})
    same = load_model("diffews", {"random": "tiny", "threshold": 0.1, "scoring": "float"})
    half = load_model("diffews", {"random": "tiny"}, dtype="bf16")
    assert base.image_key == same.image_key != half.image_key


def test_random_vaes_of_two_designs_are_told_apart() -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    base, other = (
        load_model("diffews", {"random": "tiny", "generation": generation})
        for generation in ("oi2m", "mn2m")
    )
    one, two = (model.encode_image(images)[0]["latent"] for model in (base, other))
    assert not torch.equal(one, two) and base.image_key != other.image_key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 500}, "resolution.*500 is not a multiple of 8; take 496"),
        ({"treshold": 0.1}, "did you mean threshold"),
        ({"prompt_tokens": 5}, "prompt_tokens"),
        ({"threshold": 2}, "threshold"),
        ({"noise": "gaussian"}, "noise"),
        ({}, "--checkpoint DIR"),
        ({"decoder": "tiny", "random": "tiny"}, "tiny_decoder=DIR"),
        ({"checkpoint": "sd21", "random": "tiny"}, "checkpoint or random, not both"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model("diffews", options)


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(ModelError, match="fp64"):
        load_model("diffews", {"random": "tiny"}, dtype="fp64")


@pytest.mark.parametrize("shape", [(1, 3, 60, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_wrong_images_are_named(tiny: DiffewS, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"multiples of 8|B×3×H×W"):
        tiny.encode_image(torch.zeros(shape))


def test_masks_must_fit_their_images(tiny: DiffewS, scene: Scene) -> None:
    with pytest.raises(ModelError, match="masks must be"):
        tiny.encode_support(scene.images, scene.masks[:, :32], scene.latents)


def test_sizes_that_are_no_multiple_of_64_run(tiny: DiffewS) -> None:
    scene = make_scene(tiny, 2, 72, 104)
    scores = tiny.segment(scene.latents, [scene.supports, scene.supports[:1]])
    assert scores.shape == (2, 72, 104) and scores.isfinite().all()


def test_the_tiny_decoder_is_a_preview(tmp_path: Path, scene: Scene) -> None:
    widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    AutoencoderTiny(**widths, **blocks).save_pretrained(tmp_path)
    model = load_model(
        "diffews", {"random": "tiny", "decoder": "tiny", "tiny_decoder": str(tmp_path)}
    )
    assert not model.comparable
    assert model.segment(scene.latents[:1], [scene.supports[1:]]).shape == (1, 64, 64)


def test_prompt_files_that_do_not_fit_are_named(tiny: DiffewS, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    path = tmp_path / "embeds.safetensors"
    save_file({"a": torch.zeros(1, 3, 32), "b": torch.zeros(1, 4, 32)}, path)
    with pytest.raises(ModelError, match=r"embeddings of \[3, 4\] tokens"):
        DiffewS.from_pretrained(tmp_path, prompt_embeds=path)
    save_file({"a": torch.zeros(1, 2, 8)}, path)
    with pytest.raises(ModelError, match="8 wide"):
        DiffewS.from_pretrained(tmp_path, prompt_embeds=path)


def with_text_encoder(folder: Path) -> None:
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")


def test_a_prompt_of_another_length_is_not_taken_for_the_one_asked_for(
    tiny: DiffewS, tmp_path: Path
) -> None:
    tiny.save_pretrained(tmp_path)
    checkpoint = {"checkpoint": str(tmp_path)}
    file = str(tmp_path / "prompt_embeds.safetensors")
    assert load_model("diffews", {**checkpoint, "prompt_tokens": 2}).config["prompt_tokens"] == 2
    for given in ({}, {"prompt_embeds": file}):
        with pytest.raises(ModelError, match=r"embeddings of \[2\] tokens, not of 77; set prompt"):
            load_model("diffews", {**checkpoint, **given, "prompt_tokens": 77})
    with_text_encoder(tmp_path)
    encoded = load_model("diffews", {**checkpoint, "prompt_tokens": 77})
    assert encoded.parts.prompt.shape[1] == encoded.config["prompt_tokens"] == 77
    assert torch.equal(load_model("diffews", checkpoint).parts.prompt, tiny.parts.prompt)


def test_a_prompt_of_a_length_of_its_own_is_what_is_recorded(tiny: DiffewS, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    save_file({"a": torch.ones(1, 77, 32)}, tmp_path / "prompt_embeds.safetensors")
    with_text_encoder(tmp_path)
    model = load_model("diffews", {"checkpoint": str(tmp_path)})
    assert torch.equal(model.parts.prompt, torch.ones(1, 77, 32))
    assert model.config["prompt_tokens"] == 77


def test_both_lengths_of_an_encoded_prompt_are_saved(tiny: DiffewS, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    tiny.save_pretrained(first)
    (first / "prompt_embeds.safetensors").unlink()
    with_text_encoder(first)
    DiffewS.from_pretrained(first, prompt_tokens=77).save_pretrained(second)
    shutil.rmtree(second / "text_encoder")
    DiffewS.from_pretrained(second).save_pretrained(third)
    for tokens in (2, 77):
        prompts = [
            DiffewS.from_pretrained(folder, prompt_tokens=tokens).parts.prompt
            for folder in (first, second, third)
        ]
        assert prompts[0].shape[1] == tokens
        assert all(torch.equal(prompt, prompts[0]) for prompt in prompts)


def test_features_move_between_devices(tiny: DiffewS, scene: Scene) -> None:
    moved = scene.supports[0].to("meta")
    assert isinstance(moved, Features)
    assert all(t.device.type == "meta" for t in moved.tensors.values())
