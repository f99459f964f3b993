"""VRP-SAM's frozen backbones, after PSPNet: `layer0` to `layer4` with the authors' names.

A ResNet with three small convolutions for a stem, and dilation for stride in its last two stages;
or VGG-16 with batch norm, cut at its poolings and without the last of them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.resnet import Bottleneck

Blocks = tuple[int, int, int, int]

# Stride of each stage, and dilation in its first bottleneck and in the others.
_STAGES = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))
_VGG_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")
_NAMES = {"3+4+6+3": "resnet50", "3+4+23+3": "resnet101"}


def resnet_layers(blocks: Blocks, width: int = 64) -> list[nn.Sequential]:
    """The stem and the four stages of a ResNet, at strides 4, 4, 8, 8 and 8."""
    stem: list[nn.Module] = []
    for inputs, outputs, stride in ((3, width, 2), (width, width, 1), (width, 2 * width, 1)):
        stem += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)]
        stem += [nn.BatchNorm2d(outputs), nn.ReLU()]
    layers = [nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1))]
    channels = 2 * width
    for stage, (count, (stride, first, others)) in enumerate(zip(blocks, _STAGES, strict=True)):
        inner = width * 2**stage
        rows = [Bottleneck(channels, inner, stride, first)]
        rows += [Bottleneck(4 * inner, inner, 1, others) for _ in range(count - 1)]
        channels = 4 * inner
        layers.append(nn.Sequential(*rows))
    return layers


def vgg_layers() -> list[nn.Sequential]:
    """The five blocks of VGG-16 with batch norm, at strides 2, 4, 8, 16 and 16."""
    layers = []
    channels = 3
    for number, (count, width) in enumerate(_VGG_BLOCKS):
        rows: list[nn.Module] = []
        for _ in range(count):
            rows += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        if number < len(_VGG_BLOCKS) - 1:
            rows.append(nn.MaxPool2d(2, ceil_mode=True))
        layers.append(nn.Sequential(*rows))
    return layers


def bare_layers(tensors: Mapping[str, Tensor]) -> list[nn.Sequential] | None:
    """The backbone that a checkpoint's `layer0` to `layer4` fill; None where there is none."""
    if "layer0.0.weight" not in tensors or "layer4.0.weight" in tensors:
        return vgg_layers() if "layer4.0.weight" in tensors else None
    found = [match for name in tensors if (match := _BLOCK.fullmatch(name))]
    blocks = [sum(match[1] == str(stage) for match in found) for stage in (1, 2, 3, 4)]
    if 0 in blocks:
        return None
    counts = (blocks[0], blocks[1], blocks[2], blocks[3])
    return resnet_layers(counts, len(tensors["layer0.0.weight"]))


def backbone_name(layers: Sequence[nn.Sequential]) -> str:
    """`resnet50`, `resnet101`, `vgg16-bn`, or else the number of bottlenecks."""
    if not isinstance(layers[1][0], Bottleneck):
        return "vgg16-bn"
    blocks = "+".join(str(len(layer)) for layer in layers[1:])
    return _NAMES.get(blocks, f"resnet of {blocks} bottlenecks")


def outputs(layer: nn.Sequential) -> int:
    """How many channels a layer's map has."""
    convolutions = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
    return convolutions[-1].out_channels


def advance(layers: Iterable[nn.Sequential], x: Tensor) -> Tensor:
    """Run layers one after the other."""
    for layer in layers:
        for row in layer:
            x = F.relu(row(x)) if isinstance(row, Bottleneck) else row(x)
    return x
