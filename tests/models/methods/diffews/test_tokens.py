"""CLIP's patch tokens, from a folder as transformers writes it."""

from pathlib import Path

import pytest
import torch
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


def test_a_folder_without_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"cannot read a CLIP in {tmp_path}"):
        load_clip(tmp_path, width=24, seed=0)
