"""The two passes of a stock Stable Diffusion U-Net with a second input convolution."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models.diffews.attention import AttentionBank, Keep, Kept, SupportBank
from models.diffews.design import CONFIG_KEY

CLASS_NAME = "MyUNet2DConditionModel"  # what the released checkpoints call it
REFERENCE_CHANNELS = "in_channels_ref"

# The one step runs at timestep 1 with all betas 1: the predicted x0 is minus the output.
TIMESTEP = 1


def build_unet(config: Mapping[str, Any]) -> Any:
    """A `UNet2DConditionModel`, with `conv_in_ref` where the config has `in_channels_ref`."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(stock_config(config))
    channels = config.get(REFERENCE_CHANNELS)
    if channels:
        own = unet.conv_in
        unet.conv_in_ref = nn.Conv2d(
            channels, own.out_channels, own.kernel_size, padding=own.padding
        )
    return unet


def stock_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a DiffewS U-Net's config that diffusers knows."""
    ours = {REFERENCE_CHANNELS, CONFIG_KEY}
    return {k: v for k, v in config.items() if k not in ours and not k.startswith("_")}


@contextmanager
def reference_input(unet: Any) -> Iterator[None]:
    """Within, the U-Net reads its input through `conv_in_ref`."""
    own = unet.conv_in
    unet.conv_in = unet.conv_in_ref
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

    def support(self, latents: Tensor, keep: Keep = "kv") -> list[Kept]:
        """What each self-attention keeps of B supports; supports do not see each other.

        Args:
            latents: B×C×h×w; more channels than `conv_in` takes go through `conv_in_ref`.
            keep: keys and values, or the states that they are projected from.
        """

        def run() -> None:
            self.unet(latents, TIMESTEP, self._text(latents))

        if latents.shape[1] == self.unet.conv_in.in_channels:
            return self.bank.record(run, keep)
        with reference_input(self.unet):
            return self.bank.record(run, keep)

    def query(
        self, latents: Tensor, supports: SupportBank, bias: Mapping[int, Tensor] | None = None
    ) -> Tensor:
        """The U-Net's output for B queries: B×4×h×w.

        Args:
            latents: B×4×h×w.
            supports: layers × B × K.
            bias: as `AttentionBank.attend` takes it.
        """

        def run() -> Tensor:
            return self.unet(latents, TIMESTEP, self._text(latents)).sample  # type: ignore[no-any-return]

        return self.bank.attend(run, supports, bias)

    def _text(self, latents: Tensor) -> Tensor:
        return self.prompt.expand(latents.shape[0], -1, -1)


def by_layer(supports: Sequence[Sequence[Sequence[Kept]]], layers: int) -> SupportBank:
    """Queries × supports × layers to layers × queries × supports."""
    return [[[kept[layer] for kept in row] for row in supports] for layer in range(layers)]
