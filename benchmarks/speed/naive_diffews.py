"""DiffewS as the authors run it: stock parts, 2K+1 encodes and K+1 whole U-Net passes an episode.

Source: github.com/aim-uofa/DiffewS, commit d12c396.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelError
from models.methods.diffews import DiffewS
from models.methods.diffews.attention import AttentionBank, Kept
from models.methods.diffews.generation import TIMESTEP
from models.methods.diffews.parts import build_vae
from models.methods.diffews.scoring import margins
from models.methods.diffews.unet import SUPPORT_INPUT, build_unet, input_through


class NaiveDiffewS:
    """One episode at a time through diffusers' own modules, which share the model's weights."""

    def __init__(self, model: DiffewS) -> None:
        if model.design.mask_injection != "concatenation":
            raise ModelError(
                "the naive path is the authors' evaluation: mask_injection=concatenation"
            )
        self._options = model.options
        self._unet = _stock(build_unet, model.parts.unet_config, model.parts.unet)
        self._vae = _stock(build_vae, model.parts.vae_config, model.parts.vae)
        self._bank = AttentionBank(self._unet)
        self._prompt = model.parts.prompt.to(model.device, model.dtype)

    @torch.inference_mode()
    def __call__(self, supports: Sequence[tuple[Tensor, Tensor]], query: Tensor) -> Tensor:
        """Scores of one query; see `NaivePath`. The supports go through each module together."""
        kind = self._prompt.dtype
        images, masks = (torch.cat(part) for part in zip(*supports, strict=True))
        image_latents = self._encode(images.to(kind) * 2 - 1)
        mask_latents = self._encode(masks.to(kind)[:, None].expand(-1, 3, -1, -1) * 2 - 1)
        query_latent = self._encode(query.to(kind) * 2 - 1)
        kept = self._support_pass(torch.cat([image_latents, mask_latents], 1))
        bank = [
            [[tuple(state[i] for state in layer) for i in range(len(images))]] for layer in kept
        ]
        out = self._bank.attend(lambda: self._pass(query_latent), bank)
        decoded = self._vae.decode(-out / self._vae.config.scaling_factor).sample
        options = self._options
        return margins(decoded, options.threshold, options.threshold_rule, options.scoring)

    def _encode(self, images: Tensor) -> Tensor:
        scale = self._vae.config.scaling_factor
        return self._vae.encode(images).latent_dist.mode() * scale  # type: ignore[no-any-return]

    def _support_pass(self, latents: Tensor) -> list[Kept]:
        with input_through(self._unet, SUPPORT_INPUT, latents.shape[1]):
            return self._bank.record(lambda: self._pass(latents), whole=True)

    def _pass(self, latents: Tensor) -> Tensor:
        text = self._prompt.expand(latents.shape[0], -1, -1)
        return self._unet(latents, TIMESTEP, text).sample  # type: ignore[no-any-return]


def _stock(build: Any, config: Any, optimised: Any) -> Any:
    """A module as diffusers makes it, in the plain layout, on the same weights where it can."""
    with torch.device("meta"):
        module = build(config)
    state = {name: tensor.contiguous() for name, tensor in optimised.state_dict().items()}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False).eval()
