"""ResNet-50 and ResNet-101 (He et al. 2016) with torchvision's parameter names.

The stride of a bottleneck sits on its 3×3 convolution, as in torchvision.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.base import (
    Backbone,
    build_network,
    choose_layers,
    freeze,
    layer_table,
    numbers,
    torchvision_default,
)

_LAYERS = layer_table(
    ("layer1", 256, 4), ("layer2", 512, 8), ("layer3", 1024, 16), ("layer4", 2048, 32)
)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions with a residual; four times as wide at the end."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """The sum with the residual, before the ReLU that follows it."""
        x = F.relu(self.bn1(self.conv1(inputs)))
        x = F.relu(self.bn2(self.conv2(x)))
        total: Tensor = self.bn3(self.conv3(x)) + self.downsample(inputs)
        return total


class ResNet(nn.Module):
    """A bottleneck ResNet with its ImageNet head (which `features` does not use).

    Args:
        blocks: bottlenecks in each of the four stages.
        width: channels of the first convolution; the stages end in 4, 8, 16 and 32 times as many.
    """

    def __init__(self, blocks: tuple[int, int, int, int], width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(blocks):
            inner = width * 2**stage
            rows = []
            for index in range(count):
                rows.append(Bottleneck(channels, inner, 2 if stage and not index else 1))
                channels = 4 * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*rows))
        self.fc = nn.Linear(channels, 1000)

    def stages(self, images: Tensor, last: int = 4) -> list[list[Tensor]]:
        """Every bottleneck's output before its final ReLU, in stages 1 to `last`.

        Args:
            images: normalised, B×3×H×W.
            last: the last stage to compute, 1..4.

        Returns:
            One list of B×C×h×w per stage.
        """
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        outputs: list[list[Tensor]] = []
        for stage in range(1, last + 1):
            outputs.append([])
            for block in self.get_submodule(f"layer{stage}").children():
                outputs[-1].append(block(x))
                x = F.relu(outputs[-1][-1])
        return outputs

    def forward(self, images: Tensor) -> Tensor:
        """ImageNet logits, B×1000, of normalised images."""
        logits: Tensor = self.fc(F.relu(self.stages(images)[-1][-1]).mean((2, 3)))
        return logits


def _build(
    name: str,
    blocks: tuple[int, int, int, int],
    filename: str,
    weights: str | None,
    layer: str | None,
    device: str,
    dtype: torch.dtype,
) -> Backbone:
    """A ResNet read after the final ReLU of one stage."""
    chosen = choose_layers(name, _LAYERS, layer, "layer3")
    make = functools.partial(ResNet, blocks)
    network, source, digest = build_network(name, make, weights, torchvision_default(filename))
    freeze(network, device, dtype)
    wanted = numbers(chosen, "layer")

    def extract(images: Tensor) -> list[Tensor]:
        outputs = network.stages(images, max(wanted))
        return [F.relu(outputs[number - 1][-1]) for number in wanted]

    return Backbone(
        name, network, chosen, extract, digest, source, "BSD-3-Clause", "ImageNet-1k labels"
    )


def resnet50(
    weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype
) -> Backbone:
    """ResNet-50, 25,557,032 parameters; usually `layer3` is read: 1024 channels at stride 16.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    return _build("resnet50", (3, 4, 6, 3), "resnet50-0676ba61.pth", weights, layer, device, dtype)


def resnet101(
    weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype
) -> Backbone:
    """ResNet-101, 44,549,160 parameters; usually `layer3` is read: 1024 channels at stride 16.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    return _build(
        "resnet101", (3, 4, 23, 3), "resnet101-63fe2227.pth", weights, layer, device, dtype
    )
