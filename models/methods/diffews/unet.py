"""The two passes of a stock Stable Diffusion U-Net with a second input convolution."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.methods.diffews import library
from models.methods.diffews.attention import AttentionBank, Keep, Kept, SupportBank
from models.methods.diffews.checkpoint import shapes
from models.methods.diffews.design import CONFIG_KEY, Design
from models.methods.diffews.generation import TIMESTEP

logger = logging.getLogger(__name__)

CLASS_NAME = "MyUNet2DConditionModel"  # what the released checkpoints call it
REFERENCE_CHANNELS, QUERY_CHANNELS = "in_channels_ref", "in_channels_query"
# Input convolutions beside `conv_in`, by the entry of the config that holds their channels: of a
# support with its mask's latent, and of a noisy mask with its query's latent.
SUPPORT_INPUT, QUERY_INPUT = "conv_in_ref", "conv_in_query"
_INPUTS = {REFERENCE_CHANNELS: SUPPORT_INPUT, QUERY_CHANNELS: QUERY_INPUT}
_OWN_INPUT = "conv_in"


def build_unet(config: Mapping[str, Any]) -> Any:
    """A `UNet2DConditionModel`, with the further input convolutions that the config names."""
    unet = library.build("UNet2DConditionModel", stock_config(config))
    own = unet.conv_in
    for entry, name in _INPUTS.items():
        if config.get(entry):
            size = (config[entry], own.out_channels, own.kernel_size)
            setattr(unet, name, nn.Conv2d(*size, padding=own.padding))
    return unet


def inferred_config(folder: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """What a U-Net's config.json lacks of its input convolutions, from its tensors.

    The authors' class has defaults for these entries, and its scripts do not write them.

    Raises:
        ModelError: if the weights are missing or damaged.
    """
    lacking = {entry: name for entry, name in _INPUTS.items() if config.get(entry) is None}
    if not lacking:
        return {}
    found = shapes(folder)
    weights = {entry: found.get(f"{name}.weight", ()) for entry, name in lacking.items()}
    inferred = {entry: shape[1] for entry, shape in weights.items() if len(shape) == 4}
    if inferred:
        said = ", ".join(f"{entry}={value}" for entry, value in inferred.items())
        logger.warning("%s lacks %s, as its tensors have it", folder / "config.json", said)
    return inferred


def stock_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a DiffewS U-Net's config that diffusers knows."""
    ours = {*_INPUTS, CONFIG_KEY}
    return {k: v for k, v in config.items() if k not in ours and not k.startswith("_")}


def missing_inputs(unet: Any, design: Design) -> dict[str, str]:
    """The input convolutions that `design` needs and `unet` lacks, as `_INPUTS` has them."""
    needed = _inputs_read(design)
    return {e: name for e, name in _INPUTS.items() if name in needed and not hasattr(unet, name)}


def learn(unet: Any, design: Design) -> None:
    """Let a U-Net be trained, but for the input convolutions that `design` does not read.

    They would get no gradient, which several processes that train together do not bear.
    """
    unet.requires_grad_(True)
    for name in {_OWN_INPUT, *_INPUTS.values()} - _inputs_read(design):
        if hasattr(unet, name):
            getattr(unet, name).requires_grad_(False)


def _inputs_read(design: Design) -> set[str]:
    """The input convolutions of a design's passes."""
    read = {QUERY_INPUT if design.generation == "mn2m" else _OWN_INPUT}
    if not design.tokenized:
        read.add(SUPPORT_INPUT if design.concatenates else _OWN_INPUT)
    return read


@contextmanager
def input_through(unet: Any, name: str, channels: int) -> Iterator[None]:
    """Within, an input that `conv_in` does not take is read by the convolution `name`, if any."""
    own = unet.conv_in
    if channels != own.in_channels:
        unet.conv_in = getattr(unet, name, own)
    try:
        yield
    finally:
        unet.conv_in = own


@dataclass(frozen=True)
class TwoPass:
    """A U-Net run over supports, then over queries that see them.

    Attributes:
        unet: from `build_unet`.
        bank: installed on `unet`.
        prompt: 1 × tokens × width, the text of both passes.
    """

    unet: Any
    bank: AttentionBank
    prompt: Tensor

    def support(self, latents: Tensor, keep: Keep = "kv", whole: bool = False) -> list[Kept]:
        """What each self-attention keeps of B supports; supports do not see each other.

        Args:
            latents: B×C×h×w; more channels than `conv_in` takes go through `conv_in_ref`.
            keep: keys and values, or the states that they are projected from.
            whole: let the pass run to its end, which gradient checkpointing needs.
        """

        def run() -> None:
            self.unet(latents, TIMESTEP, self._text(latents))

        with input_through(self.unet, SUPPORT_INPUT, latents.shape[1]):
            return self.bank.record(run, keep, whole)

    def query(
        self,
        latents: Tensor,
        supports: SupportBank,
        bias: Mapping[int, Tensor] | None = None,
        timesteps: Tensor | int = TIMESTEP,
    ) -> Tensor:
        """The U-Net's output for B queries: B×4×h×w.

        Args:
            latents: B×C×h×w; more channels than `conv_in` takes go through `conv_in_query`.
            supports: layers × B × K.
            bias: as `AttentionBank.attend` takes it.
            timesteps: of all, or of each.
        """

        def run() -> Tensor:
            return self.unet(latents, timesteps, self._text(latents)).sample  # type: ignore[no-any-return]

        with input_through(self.unet, QUERY_INPUT, latents.shape[1]):
            return self.bank.attend(run, supports, bias)

    def tokens(
        self, latents: Tensor, tokens: Tensor, inside: Tensor | None, timesteps: Tensor | int
    ) -> Tensor:
        """The same where the supports' tokens take the text's place.

        Args:
            latents: as `query` takes them.
            tokens: B×N×width.
            inside: B×N bool, the tokens that are attended to; None for all.
            timesteps: of all, or of each.
        """
        with input_through(self.unet, QUERY_INPUT, latents.shape[1]):
            output = self.unet(latents, timesteps, tokens, encoder_attention_mask=inside)
        return output.sample  # type: ignore[no-any-return]

    def _text(self, latents: Tensor) -> Tensor:
        return self.prompt.expand(latents.shape[0], -1, -1)


def by_layer(supports: Sequence[Sequence[Sequence[Kept]]], layers: int) -> SupportBank:
    """Queries × supports × layers to layers × queries × supports."""
    return [[[kept[layer] for kept in row] for row in supports] for layer in range(layers)]
