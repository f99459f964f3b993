"""What HSNet reads of a backbone: several maps at each of three levels, before their ReLU."""

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16

Backbone = ResNet | VGG16

LEVELS = ("level2", "level3", "level4")
_NAMES = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101"}
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")


def read_levels(backbone: Backbone, images: Tensor) -> list[Tensor]:
    """The maps that are compared, shallow to deep within a level.

    Of a ResNet, every bottleneck of stages 2 to 4 after the residual is added; of VGG-16, every
    convolution of blocks 4 and 5 and the last pooling.

    Args:
        backbone: in eval mode.
        images: normalised, B×3×H×W.

    Returns:
        B×L×C×h×w of levels 2, 3 and 4, at strides 8, 16 and 32.
    """
    stages: Sequence[Sequence[Tensor]] = backbone.stages(images)[-3:]
    if isinstance(backbone, VGG16):
        *_, conv4, conv5 = stages
        stages = (conv4, conv5, [F.max_pool2d(F.relu(conv5[-1]), 2)])
    return [torch.stack(list(stage), dim=1) for stage in stages]


def depths(backbone: Backbone) -> tuple[int, int, int]:
    """How many maps levels 2, 3 and 4 have."""
    if isinstance(backbone, VGG16):
        return 3, 3, 1
    return _bottlenecks(backbone, 2), _bottlenecks(backbone, 3), _bottlenecks(backbone, 4)


def widths(backbone: Backbone) -> tuple[int, int, int]:
    """How many channels the maps of levels 2, 3 and 4 have."""
    if isinstance(backbone, VGG16):
        return 512, 512, 512
    width = backbone.conv1.out_channels
    return 8 * width, 16 * width, 32 * width


def backbone_name(backbone: Backbone) -> str:
    """`resnet50`, `resnet101`, `vgg16`, or else the number of bottlenecks."""
    if isinstance(backbone, VGG16):
        return "vgg16"
    blocks = (_bottlenecks(backbone, 1), *depths(backbone))
    return _NAMES.get(blocks, f"resnet of {'+'.join(map(str, blocks))} bottlenecks")


def bare_backbone(tensors: Mapping[str, Tensor]) -> Backbone | None:
    """The backbone that a checkpoint holds, by HSNet's or DCAMA's name; None where it has none."""
    names = {
        key.removeprefix(part): tensor
        for part in ("backbone.", "feature_extractor.")
        for key, tensor in tensors.items()
        if key.startswith(part)
    }
    if "features.0.weight" in names:
        return VGG16()
    found = [match for name in names if (match := _BLOCK.fullmatch(name))]
    blocks = [sum(match[1] == str(stage) for match in found) for stage in (1, 2, 3, 4)]
    if "conv1.weight" not in names or 0 in blocks:
        return None
    return ResNet((blocks[0], blocks[1], blocks[2], blocks[3]), len(names["conv1.weight"]))


def _bottlenecks(backbone: ResNet, stage: int) -> int:
    """How many bottlenecks a stage has."""
    return sum(1 for _ in backbone.get_submodule(f"layer{stage}").children())
