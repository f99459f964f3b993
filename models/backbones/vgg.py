"""VGG-16 (Simonyan and Zisserman 2015, without batch norm) with torchvision's parameter names."""

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

# Convolutions and width of each of the five blocks; a 2×2 maximum pooling follows each.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_LAYERS = layer_table(("conv3_3", 256, 4), ("conv4_3", 512, 8), ("conv5_3", 512, 16))


class VGG16(nn.Module):
    """The network with its ImageNet head (which `features` does not use)."""

    def __init__(self) -> None:
        super().__init__()
        rows: list[nn.Module] = []
        channels = 3
        for count, width in _BLOCKS:
            for _ in range(count):
                rows += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            rows.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*rows)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )

    def stages(self, images: Tensor, last: int = 5) -> list[list[Tensor]]:
        """Every convolution's output before its ReLU, in blocks 1 to `last`.

        Args:
            images: normalised, B×3×H×W.
            last: the last block to compute, 1..5.

        Returns:
            One list of B×C×h×w per block.
        """
        x = images
        outputs: list[list[Tensor]] = [[]]
        for row in self.features:
            x = row(x)
            if isinstance(row, nn.Conv2d):
                outputs[-1].append(x)
            elif isinstance(row, nn.MaxPool2d):
                if len(outputs) == last:
                    break
                outputs.append([])
        return outputs

    def forward(self, images: Tensor) -> Tensor:
        """ImageNet logits, B×1000, of normalised images."""
        pooled = F.adaptive_avg_pool2d(self.features(images), 7)
        logits: Tensor = self.classifier(pooled.flatten(1))
        return logits


def vgg16(weights: str | None, layer: str | None, *, device: str, dtype: torch.dtype) -> Backbone:
    """VGG-16, 138,357,544 parameters; usually `conv5_3` is read: 512 channels at stride 16.

    The layers are read before their ReLU.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    chosen = choose_layers("vgg16", _LAYERS, layer, "conv5_3")
    default = torchvision_default("vgg16-397923af.pth")
    network, source, digest = build_network("vgg16", VGG16, weights, default)
    freeze(network, device, dtype)
    wanted = numbers(chosen, "conv")

    def extract(images: Tensor) -> list[Tensor]:
        outputs = network.stages(images, max(wanted))
        return [outputs[number - 1][-1] for number in wanted]

    return Backbone(
        "vgg16", network, chosen, extract, digest, source, "BSD-3-Clause", "ImageNet-1k labels"
    )
