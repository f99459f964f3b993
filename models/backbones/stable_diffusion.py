"""Features of Stable Diffusion's U-Net: DIFT (Tang et al., arXiv 2306.03881).

An image's latent is noised to one timestep and passes the U-Net once, up to the end of one of its
decoder's blocks; several noises may be averaged. CleanDIFT (Stracke et al., arXiv 2412.03439) is a
U-Net fine-tuned to give such features of latents without noise.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.backbones.base import RANDOM, Backbone, Layer, choose_layers, freeze
from models.methods.diffews.parts import Parts
from models.methods.diffews.stock import (
    encoded,
    noised,
    retained,
    seeded_noise,
    stock_parts,
)
from models.weights.source import tensor_digest

NAME = "sd-features"


@dataclass(frozen=True)
class Reading:
    """How the U-Net is read; the defaults are DIFT's for semantic correspondence.

    Attributes:
        timestep: that the U-Net is told, and up to which latents are noised.
        ensemble: noises whose features are averaged; they are the same for every image.
        clean: leave latents without noise, as CleanDIFT's weights want it.
        seed: of the noises.
    """

    timestep: int = 261
    ensemble: int = 8
    clean: bool = False
    seed: int = 0

    @property
    def label(self) -> str:
        """Names the reading in a result and in the key of shared features."""
        if self.clean:
            return f"t{self.timestep}-clean"
        return f"t{self.timestep}-x{self.ensemble}" + (f"-seed{self.seed}" if self.seed else "")


class _Read(Exception):
    """The last wanted block has answered: the rest of the pass has no reader."""


def sd_features(
    weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype
) -> Backbone:
    """DIFT over the Stable Diffusion folder `weights`; usually `up1` is read.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    random = "tiny" if weights == RANDOM else None
    parts = stock_parts(
        f"the backbone {NAME}",
        None if random else weights,
        None,
        random,
        dtype,
        option="weights",
        trial=f"weights={RANDOM}",
    )
    source = RANDOM if random else Path(str(weights)).name
    return over_unet(parts, source, layer, Reading(), device=device, dtype=dtype)


def over_unet(
    parts: Parts,
    source: str,
    layer: str | None,
    reading: Reading,
    *,
    device: str,
    dtype: torch.dtype,
) -> Backbone:
    """The backbone over loaded parts.

    Args:
        parts: U-Net, VAE and prompt; moved in place.
        source: where they came from, for a reader.
        layer: `up0` to the decoder's last block, or several joined by "+"; `up1` if None.
        reading: how they are read.
        device: a torch device.
        dtype: of the network.

    Raises:
        ModelError: for an unknown layer.
    """
    unet, vae = parts.unet, parts.vae
    chosen = choose_layers(NAME, _layers(parts), layer, "up1")
    network = freeze(nn.ModuleDict({"unet": unet, "vae": vae}), device, dtype)
    prompt = parts.prompt.to(device, dtype)
    read = _reader(unet, [int(one.name.removeprefix("up")) for one in chosen])
    alpha = float(retained()[reading.timestep])

    def extract(images: Tensor) -> list[Tensor]:
        latents = encoded(parts, images)
        if reading.clean:
            return read(latents, reading.timestep, prompt)
        total: list[Tensor] = []
        for index in range(reading.ensemble):
            shape = tuple(latents.shape[1:])
            noise = seeded_noise(shape, reading.seed * reading.ensemble + index, latents)
            maps = read(noised(latents, noise, alpha), reading.timestep, prompt)
            total = [a + b for a, b in zip(total, maps, strict=True)] if total else maps
        return [part / reading.ensemble for part in total]

    labelled = tuple(Layer(f"{c.name}-{reading.label}", c.channels, c.stride) for c in chosen)
    return Backbone(
        NAME,
        network,
        labelled,
        extract,
        parts.digest or tensor_digest(network),
        source,
        "CreativeML Open RAIL++-M, or the folder's",
        "LAION, or the folder's: images and texts, no masks",
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )


def _layers(parts: Parts) -> dict[str, Layer]:
    """The decoder's blocks; each but the last ends with an upsampling."""
    widths = list(reversed(parts.unet_config["block_out_channels"]))
    last = len(widths) - 1
    strides = [parts.patch * 2 ** max(0, last - 1 - index) for index in range(len(widths))]
    return {
        f"up{i}": Layer(f"up{i}", w, s)
        for i, (w, s) in enumerate(zip(widths, strides, strict=True))
    }


def _reader(unet: Any, blocks: list[int]) -> Callable[[Tensor, int, Tensor], list[Tensor]]:
    """A pass of the U-Net that is left after the last of `blocks`, and gives their results."""
    found: dict[int, Tensor] = {}

    def keep(index: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[index] = output
            if index == max(blocks):
                raise _Read

        return hook

    def read(latents: Tensor, timestep: int, prompt: Tensor) -> list[Tensor]:
        handles = [unet.up_blocks[index].register_forward_hook(keep(index)) for index in blocks]
        try:
            with suppress(_Read):
                unet(latents, timestep, prompt.expand(len(latents), -1, -1))
            return [found[index] for index in blocks]
        finally:
            found.clear()
            for handle in handles:
                handle.remove()

    return read
