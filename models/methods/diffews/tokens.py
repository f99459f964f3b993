"""CLIP image tokens of supports, for `tokenized_cross_attention`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import ModelError
from models.methods.diffews.checkpoint import UNREADABLE

FOLDER = "image_encoder"
WIDTH = "cross_attention_dim"  # the entry of the config that is not CLIP's

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageTokens(nn.Module):
    """CLIP's patch tokens, brought to the U-Net's text width by a normalisation and a projection.

    Attributes:
        config: CLIP's vision config and `cross_attention_dim`, as config.json holds them.
        grid: tokens a side.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        self.config = dict(config)
        clip = CLIPVisionConfig(**{k: v for k, v in config.items() if k != WIDTH})
        self.encoder = CLIPVisionModel(clip)
        self.norm = nn.LayerNorm(clip.hidden_size)
        self.project = nn.Linear(clip.hidden_size, int(config[WIDTH]))
        self.grid = clip.image_size // clip.patch_size
        self._side = clip.image_size

    def forward(self, images: Tensor) -> Tensor:
        """Tokens of images B×3×H×W in -1..1: B × grid² × width."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        size = (self._side, self._side)
        # On a CPU torch cannot do this in half precision.
        small = F.interpolate(images.float(), size, mode="bicubic", antialias=True).to(images)
        hidden = self.encoder(((small + 1) / 2 - mean) / std).last_hidden_state[:, 1:]
        return self.project(self.norm(hidden))  # type: ignore[no-any-return]

    def learn(self, *, encoder: bool) -> None:
        """Let the projection be trained, and CLIP itself only if `encoder` says so."""
        self.requires_grad_(True)
        self.encoder.requires_grad_(encoder)
        if encoder:
            vision = getattr(self.encoder, "vision_model", self.encoder)
            vision.post_layernorm.requires_grad_(False)  # of the pooled token, which nobody reads

    def inside(self, masks: Tensor) -> Tensor:
        """Which tokens lie in masks B×H×W, by nearest neighbour: B × grid² bool."""
        small = F.interpolate(masks[:, None].float(), (self.grid, self.grid), mode="nearest")
        return small.flatten(1) > 0.5


def load_clip(folder: Path, width: int, seed: int) -> ImageTokens:
    """CLIP's vision tower with a new projection.

    Args:
        folder: a CLIP in transformers' layout, such as laion/CLIP-ViT-H-14-laion2B-s32B-b79K.
        width: of the U-Net's cross-attention.
        seed: of the projection; torch's RNG is left alone.

    Raises:
        ModelError: if the folder holds no CLIP that can be read, or a part of one.
    """
    from transformers import CLIPVisionModel

    try:
        encoder, report = CLIPVisionModel.from_pretrained(
            folder, output_loading_info=True, local_files_only=True
        )
    except (*UNREADABLE, RuntimeError) as error:
        raise ModelError(f"cannot read a CLIP in {folder}: {error}") from None
    if report["missing_keys"]:
        raise ModelError(
            f"the CLIP in {folder} lacks {min(report['missing_keys'])}; fetch it again"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokens = ImageTokens({**encoder.config.to_dict(), WIDTH: width})
    tokens.encoder.load_state_dict(encoder.state_dict())
    return tokens
