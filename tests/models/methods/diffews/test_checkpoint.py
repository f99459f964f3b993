import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.catalog import load_model
from models.errors import ModelError
from models.methods.diffews import DiffewS
from models.methods.diffews.checkpoint import WEIGHTS
from models.weights.trained_on import TrainedOn
from tests.models.methods.diffews.conftest import Scene, make_scene


@pytest.fixture(scope="module")
def saved(tiny: DiffewS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny.save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_saved_model_is_the_same_model(tiny: DiffewS, scene: Scene, saved: Path) -> None:
    loaded = DiffewS.from_pretrained(saved)
    other = make_scene(loaded, 4)
    rows = [scene.supports[1:]]
    assert torch.equal(
        loaded.segment(other.latents[:1], [other.supports[1:]]),
        tiny.segment(scene.latents[:1], rows),
    )
    assert loaded.parameters == tiny.parameters and loaded.design == tiny.design
    assert loaded.comparable and len(loaded.weights_digest or "") == 64


def test_the_layout_is_the_released_one(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "prompt_embeds.safetensors",
        "scheduler",
        "unet",
        "vae",
    ]
    config = json.loads((saved / "unet" / "config.json").read_text())
    assert config["_class_name"] == "MyUNet2DConditionModel" and config["in_channels_ref"] == 8
    assert load_file(saved / "unet" / WEIGHTS)["conv_in_ref.weight"].shape == (32, 8, 3, 3)


def test_the_unet_may_live_apart(saved: Path, copy: Path, tmp_path: Path) -> None:
    shutil.move(copy / "unet", tmp_path / "elsewhere")
    apart = DiffewS.from_pretrained(copy, tmp_path / "elsewhere")
    assert apart.weights_digest == DiffewS.from_pretrained(saved).weights_digest
    by_options = load_model(
        "diffews", {"checkpoint": str(copy), "unet": str(tmp_path / "elsewhere")}
    )
    assert by_options.weights_digest == apart.weights_digest
    with pytest.raises(ModelError, match="unet"):
        DiffewS.from_pretrained(copy)


def test_the_reference_survives_loading_and_saving(reference: Path, tmp_path: Path) -> None:
    DiffewS.from_pretrained(reference).save_pretrained(tmp_path, tmp_path / "apart")
    for old, new in (("unet", "apart"), ("vae", "vae")):
        before, after = load_file(reference / old / WEIGHTS), load_file(tmp_path / new / WEIGHTS)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert (tmp_path / "text_encoder" / "model.safetensors").is_file()


def test_all_folds_that_it_was_trained_on_are_known(saved: Path, copy: Path) -> None:
    assert DiffewS.from_pretrained(saved).trained_on == ()
    trained = {"dataset": "pascal", "fold": 2, "earlier": {"coco": 1}}
    (copy / "training.json").write_text(json.dumps(trained))
    model = DiffewS.from_pretrained(copy)
    assert model.trained_on == (
        TrainedOn("pascal", 2, "training.json"),
        TrainedOn("coco", 1, "training.json"),
    )
    (copy / "training.json").write_text(json.dumps({**trained, "earlier": ["coco"]}))
    with pytest.raises(ModelError, match=r"cannot read .*training.json"):
        DiffewS.from_pretrained(copy)


def test_diffusers_opens_what_is_saved(saved: Path) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(saved / "unet", low_cpu_mem_usage=False)
    state = load_file(saved / "unet" / WEIGHTS)
    assert torch.equal(unet.conv_out.weight, state["conv_out.weight"])
    AutoencoderKL.from_pretrained(saved / "vae", low_cpu_mem_usage=False)
    scheduler = DDIMScheduler.from_pretrained(saved / "scheduler")
    assert not scheduler.alphas_cumprod.any()


def test_the_design_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    load_model("diffews", {"random": "tiny", "mask_injection": "attention_mask"}).save_pretrained(
        tmp_path
    )
    assert DiffewS.from_pretrained(tmp_path).design.mask_injection == "attention_mask"


def test_shards_and_old_attention_names_are_read(saved: Path, copy: Path) -> None:
    state = load_file(copy / "vae" / WEIGHTS)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        for key in [k for k in state if f".{new}." in k]:
            state[key.replace(f".{new}.", f".{name}.")] = state.pop(key)
    (copy / "vae" / WEIGHTS).unlink()
    names = sorted(state)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in shards.items():
        save_file({key: state[key] for key in keys}, copy / "vae" / file)
    index = {"weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (copy / "vae" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    before, after = DiffewS.from_pretrained(saved), DiffewS.from_pretrained(copy)
    for name, weight in before.parts.vae.state_dict().items():
        assert torch.equal(weight, after.parts.vae.state_dict()[name])


def test_the_image_key_follows_the_vaes_config(saved: Path, copy: Path) -> None:
    path = copy / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "scaling_factor": 0.5}))
    before, after = DiffewS.from_pretrained(saved), DiffewS.from_pretrained(copy)
    assert before.weights_digest == after.weights_digest
    assert before.image_key != after.image_key
    again = DiffewS.from_pretrained(saved)
    assert before.image_key == again.image_key


def truncate(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])


def garble(folder: Path) -> None:
    (folder / "vae" / WEIGHTS).write_bytes(b"not safetensors")


def reshape(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS
    save_file({**load_file(path), "conv_out.bias": torch.zeros(5)}, path)


def drop_tensor(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS
    state = load_file(path)
    del state["conv_in_ref.bias"]
    save_file(state, path)


def add_tensor(folder: Path) -> None:
    path = folder / "vae" / WEIGHTS
    save_file({**load_file(path), "loss.weight": torch.zeros(5)}, path)


def break_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


def list_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("[]")


def drop_vae(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def drop_weights(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).unlink()


def drop_prompt(folder: Path) -> None:
    (folder / "prompt_embeds.safetensors").unlink()


def garble_prompt(folder: Path) -> None:
    (folder / "prompt_embeds.safetensors").write_bytes(b"")


def drop_reference_input(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS
    state = load_file(path)
    save_file({k: v for k, v in state.items() if not k.startswith("conv_in_ref")}, path)
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels_ref": None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"unet/diffusion_pytorch_model.safetensors .*truncated"),
        (garble, r"vae/diffusion_pytorch_model.safetensors .*truncated or not safetensors"),
        (reshape, r"unet does not fit.*another shape \(conv_out.bias\)"),
        (drop_tensor, r"unet does not fit.*missing \(conv_in_ref.bias\)"),
        (add_tensor, r"vae does not fit.*unexpected \(loss.weight\)"),
        (break_config, r"unet/config.json is not JSON"),
        (list_config, r"unet/config.json is not a JSON object"),
        (drop_vae, r"no .*vae/config.json"),
        (drop_weights, r"no .*unet/diffusion_pytorch_model.safetensors"),
        (drop_prompt, r"neither text_encoder nor prompt_embeds.safetensors"),
        (garble_prompt, r"cannot read prompt embeddings"),
        (drop_reference_input, r"no conv_in_ref.*bench models convert sd2"),
    ],
)
def test_damage_is_named(copy: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=message):
        DiffewS.from_pretrained(copy)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint folder"):
        DiffewS.from_pretrained(tmp_path / "nowhere")


def test_a_damaged_text_encoder_is_named(reference: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(reference / "vae", base / "vae")
    shutil.copytree(reference / "text_encoder", base / "text_encoder")
    path = base / "text_encoder" / "model.safetensors"
    whole = path.read_bytes()
    DiffewS.from_pretrained(base, reference / "unet")
    path.chmod(0o644)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"text encoder in .*text_encoder"):
        DiffewS.from_pretrained(base, reference / "unet")
