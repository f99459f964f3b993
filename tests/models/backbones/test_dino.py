"""DINO backbones, tiny and random, through transformers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.backbones.base import load_backbone
from models.errors import ModelError


@pytest.mark.parametrize(("name", "patch"), [("dinov2-tiny", 14), ("dinov3-tiny", 16)])
def test_patch_tokens_in_their_places_before_and_after_the_norm(name: str, patch: int):
    normed = load_backbone(name)
    before = load_backbone(name, layer="prenorm")
    assert normed.random and normed.multiple == patch
    assert normed.digest == before.digest and normed.key != before.key
    images = torch.rand(2, 3, 3 * patch, 5 * patch)
    features = normed.features(images)
    assert features.shape == (2, 32, 3, 5)
    norm = getattr(normed.network, "layernorm", None) or normed.network.norm
    renormed = norm(before.features(images).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert torch.allclose(renormed, features, atol=1e-5)
    # The embedding of a patch sees that patch alone, so a change there is greatest there.
    changed = images.clone()
    changed[:, :, patch : 2 * patch, 2 * patch : 3 * patch] += 3
    moved = (normed.features(changed) - features).norm(dim=1)[0]
    assert divmod(int(moved.argmax()), 5) == (1, 2)


@pytest.mark.parametrize(("name", "patch"), [("dinov2-tiny", 14), ("dinov3-tiny", 16)])
def test_any_block_can_be_read_with_the_final_norm_or_without(name: str, patch: int):
    images = torch.rand(1, 3, 2 * patch, 3 * patch)

    def read(layer: str) -> torch.Tensor:
        return load_backbone(name, layer=layer).features(images)

    assert torch.equal(read("block2"), read("prenorm"))
    assert torch.allclose(read("block2-norm"), read("norm"), atol=1e-6)
    assert not torch.allclose(read("block1"), read("block2"), atol=1e-3)
    with pytest.raises(ModelError, match="unknown layer 'block3'; did you mean"):
        read("block3")


def test_a_saved_folder_is_read_with_its_digest(tmp_path: Path):
    tiny = load_backbone("dinov2-tiny")
    tiny.network.save_pretrained(tmp_path)
    loaded = load_backbone("dinov2-tiny", str(tmp_path))
    images = torch.rand(1, 3, 28, 28)
    assert torch.equal(loaded.features(images), tiny.features(images))
    assert loaded.weights == f"{tmp_path.name}/model.safetensors" and not loaded.random
    said = "no dinov2-small: its hidden_size is 32, not 384"
    with pytest.raises(ModelError, match=said):
        load_backbone("dinov2-small", str(tmp_path))


def test_a_config_of_another_network_is_refused_though_all_tensors_fit(tmp_path: Path):
    load_backbone("dinov2-tiny").network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, said in (
        ({"num_attention_heads": 8}, "its num_attention_heads is 8, not 4"),
        ({"model_type": "dinov2_with_registers"}, "are weights of dinov2_with_registers, not of"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ModelError, match=said):
            load_backbone("dinov2-tiny", str(tmp_path))


@pytest.mark.parametrize(("name", "patch"), [("dinov2-tiny", 14), ("dinov3-tiny", 16)])
def test_a_lone_file_is_read_with_the_configuration_of_its_name(
    tmp_path: Path, name: str, patch: int
):
    tiny = load_backbone(name)
    tiny.network.save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    file = tmp_path / "model.safetensors"
    loaded = load_backbone(name, str(file))
    images = torch.rand(1, 3, 2 * patch, 2 * patch)
    assert torch.equal(loaded.features(images), tiny.features(images))
    assert loaded.weights == "model.safetensors" and not loaded.random
    other = "dinov3-tiny" if name == "dinov2-tiny" else "dinov2-tiny"
    with pytest.raises(ModelError, match=rf"does not fit {other}: \d+ tensors are missing"):
        load_backbone(other, str(file))


def test_a_missing_tensor_is_an_error_and_not_a_random_one(tmp_path: Path):
    load_backbone("dinov2-tiny").network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"does not fit dinov2-tiny: .*layernorm\.weight"):
        load_backbone("dinov2-tiny", str(tmp_path))


def test_a_folder_without_its_config_is_named(tmp_path: Path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"config\.json"):
        load_backbone("dinov3-small", str(tmp_path))


def originally_named(name: str, own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a tiny backbone as its authors name them, from those of the hub."""
    second = name == "dinov2-tiny"
    embedded = {key.removeprefix("embeddings."): tensor for key, tensor in own.items()}
    state = {
        "cls_token": embedded["cls_token"],
        "mask_token": embedded["mask_token"].flatten(0, -2),
    }
    patches = "patch_embeddings.projection" if second else "patch_embeddings"
    modules = {"norm": own_prefix(own, "layernorm" if second else "norm")}
    modules["patch_embed.proj"] = {k: embedded[f"{patches}.{k}"] for k in ("weight", "bias")}
    if second:
        state["pos_embed"] = embedded["position_embeddings"]
    else:
        state["storage_tokens"] = embedded["register_tokens"]
        state["rope_embed.periods"] = torch.ones(2)
    for index in range(2):
        layer = f"encoder.layer.{index}" if second else f"layer.{index}"
        block = f"blocks.{index}"
        attention = f"{layer}.attention.attention" if second else f"{layer}.attention"
        parts = ("query", "key", "value") if second else ("q_proj", "k_proj", "v_proj")
        three = [own_prefix(own, f"{attention}.{part}") for part in parts]
        three[1].setdefault("bias", torch.zeros(32))  # the keys' is masked in DINOv3
        modules[f"{block}.attn.qkv"] = {
            kind: torch.cat([part[kind] for part in three]) for kind in ("weight", "bias")
        }
        if not second:
            state[f"{block}.attn.qkv.bias_mask"] = torch.ones(96)
        for theirs, ours in {
            "attn.proj": "attention.output.dense" if second else "attention.o_proj",
            "norm1": "norm1",
            "norm2": "norm2",
            "mlp.fc1": "mlp.fc1" if second else "mlp.up_proj",
            "mlp.fc2": "mlp.fc2" if second else "mlp.down_proj",
        }.items():
            modules[f"{block}.{theirs}"] = own_prefix(own, f"{layer}.{ours}")
        for number in (1, 2):
            scale = own[f"{layer}.layer_scale{number}.lambda1"]
            state[f"{block}.ls{number}.gamma"] = scale
    return state | {f"{m}.{kind}": t for m, both in modules.items() for kind, t in both.items()}


def own_prefix(own: dict[str, torch.Tensor], module: str) -> dict[str, torch.Tensor]:
    """The weight and bias of a module."""
    kinds = ("weight", "bias")
    return {kind: own[f"{module}.{kind}"] for kind in kinds if f"{module}.{kind}" in own}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("dinov2-tiny", "dinov2_vitt14_pretrain.pth"),
        ("dinov3-tiny", "dinov3_vitt16_pretrain_lvd1689m-00000000.pth"),
    ],
)
def test_the_authors_file_gives_what_the_hubs_gives(name: str, file: str, tmp_path: Path):
    tiny = load_backbone(name)
    for parameter in tiny.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tiny.network.save_pretrained(tmp_path)
    state = originally_named(name, load_file(tmp_path / "model.safetensors"))
    torch.save(state, tmp_path / file)
    hub, own = (load_backbone(name, str(path)) for path in (tmp_path, tmp_path / file))
    images = torch.rand(2, 3, 2 * own.stride, 4 * own.stride)
    assert torch.equal(own.features(images), hub.features(images))
    assert own.weights == file
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / file)
    forms = r"config\.json.*dinov2_vit\*14_pretrain\.pth or dinov3_vit\*_pretrain_\*\.pth.*hub id"
    with pytest.raises(ModelError, match=rf"does not fit .*missing.*{forms}"):
        load_backbone(name, str(tmp_path / file))


def test_the_authors_file_with_registers_is_refused_by_name(tmp_path: Path):
    file = tmp_path / "dinov2_vits14_reg4_pretrain.pth"
    torch.save({"blocks.0.ls1.gamma": torch.zeros(1), "register_tokens": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match=r"those without registers alone are known"):
        load_backbone("dinov2-tiny", str(file))
