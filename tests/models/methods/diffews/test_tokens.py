"""CLIP's patch tokens, from a folder as transformers writes it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from models.errors import ModelError
from models.methods.diffews.tokens import load_clip


@pytest.fixture
def clip(tmp_path: Path) -> CLIPVisionModel:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    model = CLIPVisionModel(config).eval()
    model.save_pretrained(tmp_path)
    return model


def test_tokens_are_clips_patches_normalised_and_projected(
    clip: CLIPVisionModel, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    expected_next = torch.rand(1)
    torch.manual_seed(1)
    tokens = load_clip(tmp_path, width=24, seed=3)
    assert torch.equal(torch.rand(1), expected_next)
    images = torch.rand(2, 3, 32, 32)
    mean, std = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    with torch.no_grad():
        found = tokens(images * 2 - 1)
        given = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        patches = clip(given).last_hidden_state[:, 1:]
        expected = tokens.project(torch.nn.functional.layer_norm(patches, (16,)))
    assert found.shape == (2, 16, 24) and tokens.grid == 4
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    again, other = (load_clip(tmp_path, width=24, seed=seed) for seed in (3, 4))
    assert torch.equal(again.project.weight, tokens.project.weight)
    assert not torch.equal(other.project.weight, tokens.project.weight)


def test_images_may_be_in_half_precision(clip: CLIPVisionModel, tmp_path: Path) -> None:
    tokens = load_clip(tmp_path, width=24, seed=3)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = tokens(images)
        found = tokens.to(torch.bfloat16)(images.to(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.2, rtol=0)


def test_a_clip_that_lacks_weights_is_named(clip: CLIPVisionModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    lacking = next(name for name in state if "q_proj.weight" in name)
    save_file({k: v for k, v in state.items() if k != lacking}, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"the CLIP in .* lacks .*q_proj.weight"):
        load_clip(tmp_path, width=24, seed=0)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot read a CLIP"):
        load_clip(tmp_path, width=24, seed=0)


def test_a_folder_without_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"cannot read a CLIP in {tmp_path}"):
        load_clip(tmp_path, width=24, seed=0)
