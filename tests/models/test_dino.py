"""DINO backbones, tiny and random, through transformers."""

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


def test_a_saved_folder_is_read_with_its_digest(tmp_path: Path):
    tiny = load_backbone("dinov2-tiny")
    tiny.network.save_pretrained(tmp_path)
    loaded = load_backbone("dinov2-tiny", str(tmp_path))
    images = torch.rand(1, 3, 28, 28)
    assert torch.equal(loaded.features(images), tiny.features(images))
    assert loaded.weights == f"{tmp_path.name}/model.safetensors" and not loaded.random
    with pytest.raises(ModelError, match="no dinov2-small: its width or patch size differs"):
        load_backbone("dinov2-small", str(tmp_path))


def test_a_missing_tensor_is_an_error_and_not_a_random_one(tmp_path: Path):
    load_backbone("dinov2-tiny").network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"does not fit dinov2-tiny: .*layernorm\.weight"):
        load_backbone("dinov2-tiny", str(tmp_path))


def test_a_lone_file_asks_for_its_config(tmp_path: Path):
    (tmp_path / "model.safetensors").touch()
    for spec in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(ModelError, match=r"config\.json"):
            load_backbone("dinov3-small", str(spec))
