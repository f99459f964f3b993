"""What every backbone is: a frozen network, one or more layers of which are read as one map."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import BACKBONES
from models.errors import ModelError
from models.registry import unknown
from models.weights.source import (
    Weights,
    fetched,
    fill,
    network_key,
    read_weights,
    tensor_digest,
    torch_dtype,
)

RGB = tuple[float, float, float]
Network = TypeVar("Network", bound=nn.Module)

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)

# The value of the option `weights` that asks for seeded random weights, for tests.
RANDOM = "random"


@dataclass(frozen=True)
class Layer:
    """One layer that can be read: its name, width in channels, and pixels per patch side."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor.

    Attributes:
        name: its name in the registry.
        network: the module, in eval mode and without gradients; it has more than `features`
            where a method needs more (`ResNet.stages`, `VGG.stages`).
        layers: the layers that `features` reads.
        extract: normalised images (B×3×H×W) to those layers' maps, each B×C×h×w.
        digest: sha256 of the weights file, or over the tensors where the weights are random.
        weights: where the weights came from, for a reader.
        licence: of the weights.
        training_data: what the weights were trained on.
        mean: subtracted from RGB in 0..1.
        std: divided by afterwards.
    """

    name: str
    network: nn.Module = field(repr=False)
    layers: tuple[Layer, ...]
    extract: Callable[[Tensor], list[Tensor]] = field(repr=False)
    digest: str
    weights: str
    licence: str
    training_data: str
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    @property
    def layer(self) -> str:
        """The names of the layers, joined by "+"."""
        return "+".join(layer.name for layer in self.layers)

    @property
    def stride(self) -> int:
        """Pixels per side of a patch of the feature map."""
        return min(layer.stride for layer in self.layers)

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of."""
        return max(layer.stride for layer in self.layers)

    @property
    def channels(self) -> int:
        """Width of the feature map."""
        return sum(layer.channels for layer in self.layers)

    @property
    def key(self) -> str:
        """Names what `features` computes: network, layers and weights."""
        return f"{self.name}/{self.layer}@{network_key(self.network, self.digest)}"

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole network, its unused head included."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def random(self) -> bool:
        """True where the weights are random, so that no number may be compared."""
        return self.weights == RANDOM

    def normalised(self, images: Tensor) -> Tensor:
        """Images in 0..1 as the network was trained to see them, on its device: as `images`."""
        images = images.to(next(self.network.parameters()).device)
        mean = images.new_tensor(self.mean)[:, None, None]
        std = images.new_tensor(self.std)[:, None, None]
        return (images - mean) / std

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The feature map of `images`.

        One layer is given as it is. Of several, each position is scaled to unit length, the
        coarser maps are stretched to the finest, and all are joined along the channels
        (hypercolumns; Hariharan et al. 2015).

        Args:
            images: float, B×3×H×W, RGB in 0..1, sides multiples of `multiple`.

        Returns:
            B×channels×(H/stride)×(W/stride).
        """
        maps = self.extract(self.normalised(images).to(next(self.network.parameters()).dtype))
        if len(maps) == 1:
            return maps[0]
        grid = [side // self.stride for side in images.shape[-2:]]
        return torch.cat([_fitted(unit(part), grid) for part in maps], dim=1)


def unit(part: Tensor) -> Tensor:
    """Unit length along the second dimension, in the tensor's own dtype.

    Lengths are float32, for in half precision the least to divide by would be 0.
    """
    return F.normalize(part.float(), dim=1).to(part.dtype)


def _fitted(part: Tensor, grid: list[int]) -> Tensor:
    """A map stretched bilinearly to `grid`."""
    if list(part.shape[-2:]) == grid:
        return part
    return F.interpolate(part, size=grid, mode="bilinear", align_corners=False)


class Builder(Protocol):
    """Builds one backbone; what `BACKBONES` holds."""

    def __call__(
        self, weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype
    ) -> Backbone:
        """The backbone with its default, the given or random `weights`, read at `layer`."""


def load_backbone(
    name: str,
    weights: str | None = None,
    layer: str | None = None,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
) -> Backbone:
    """Build the backbone called `name`, frozen.

    Args:
        name: a name of `BACKBONES`.
        weights: a file, a folder or a hub id `owner/name[@revision]`; "random" for seeded random
            weights; None for the published ones.
        layer: the layer to read, or several joined by "+"; None for the usual ones.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Raises:
        ModelError: for an unknown name or layer, or weights that are missing or do not fit.
    """
    build: Builder = BACKBONES[name]
    return build(weights, layer, device=device, dtype=torch_dtype(dtype))


def choose_layers(
    name: str, table: Mapping[str, Layer], spec: str | None, usual: str
) -> tuple[Layer, ...]:
    """The layers of backbone `name` that `spec` (or else `usual`) names, joined by "+".

    Raises:
        ModelError: for an unknown layer, with the nearest ones.
    """
    names = (usual if spec is None else spec).split("+")
    for layer in names:
        if layer not in table:
            raise ModelError(f"backbone {name}: {unknown('layer', layer, table)}")
    return tuple(table[layer] for layer in names)


def layer_table(*rows: tuple[str, int, int]) -> dict[str, Layer]:
    """Layers by name from rows of (name, channels, stride)."""
    return {name: Layer(name, channels, stride) for name, channels, stride in rows}


def numbers(layers: tuple[Layer, ...], prefix: str) -> list[int]:
    """The numbers that begin the layers' names after `prefix`: 3 of `layer3` and `conv3_1`."""
    return [int(layer.name.removeprefix(prefix).split("_")[0]) for layer in layers]


def freeze(network: Network, device: str, dtype: torch.dtype) -> Network:
    """The network on its device, in eval mode and without gradients."""
    return network.to(device=device, dtype=dtype).eval().requires_grad_(False)


def seeded(build: Callable[[], Network]) -> Network:
    """Build a network with random weights that are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build()


def build_network(
    name: str, make: Callable[[], Network], weights: str | None, default: "Default"
) -> tuple[Network, str, str]:
    """A network with its weights.

    Args:
        name: the backbone's name, for messages.
        make: builds the bare network.
        weights: as in `load_backbone`.
        default: where the published weights lie.

    Returns:
        The network, where its weights came from, and their digest.

    Raises:
        ModelError: where the weights are missing or do not fit.
    """
    if weights == RANDOM:
        network = seeded(make)
        return network, RANDOM, tensor_digest(network)
    read = default.read() if weights is None else read_weights(weights, hint=default.hint)
    with torch.device("meta"):
        network = make()
    fill(network, read, name=name)
    return network, read.source, read.digest


@dataclass(frozen=True)
class Default:
    """Where published weights lie on this machine, and what to do where they do not.

    Attributes:
        path: the file; None where even its folder is not installed.
        hint: what to download and where to put it.
        prefix: what the file's sha256 must begin with.
    """

    path: Path | None
    hint: str
    prefix: str

    def read(self) -> Weights:
        """Read the file.

        Raises:
            ModelError: where it is absent or its digest is wrong.
        """
        if self.path is None or not self.path.is_file():
            raise ModelError(f"the published weights are not here; {self.hint}")
        weights = read_weights(str(self.path), hint=self.hint)
        if not weights.digest.startswith(self.prefix):
            raise ModelError(
                f"{self.path} is damaged: its sha256 is {weights.digest}, expected "
                f"{self.prefix}...; delete it, then {self.hint}"
            )
        return weights


def torchvision_default(filename: str) -> Default:
    """Weights that torchvision publishes as `<name>-<first 8 of sha256>.pth`, in its own cache."""
    path = fetched(filename)
    hint = (
        f"download https://download.pytorch.org/models/{filename} into {path.parent}, "
        "or give a file as the option weights=PATH"
    )
    return Default(path, hint, filename.rsplit("-", 1)[1].removesuffix(".pth"))
