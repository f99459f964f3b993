"""HSNet's training: its learner alone, on one-shot episodes of base classes.

The authors' recipe (`train.py` of juhongm999/hsnet): cross-entropy over all pixels, Adam at 1e-3,
20 episodes a step, the checkpoint that validates best; the backbone stays as ImageNet left it,
running statistics included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.base import load_backbone, seeded
from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16
from models.errors import ModelError
from models.methods.hsnet.correlation import Cosine, correlate
from models.methods.hsnet.levels import read_levels
from models.methods.hsnet.network import HSNetwork, tiny_backbone
from models.weights.pretrained import normalised

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Episodes:
    """A batch of one-shot episodes on the grid.

    Attributes:
        queries: B×3×H×W in 0..1.
        query_masks: B×H×W in {0, 1}; ignored pixels count as background, as the authors have it.
        supports: B×3×H×W in 0..1.
        support_masks: B×H×W in {0, 1}.
    """

    queries: Tensor
    query_masks: Tensor
    supports: Tensor
    support_masks: Tensor


def untrained(backbone: str = "resnet50", weights: str | None = None) -> HSNetwork:
    """HSNet with a new learner, whose weights torch's generator draws.

    Args:
        backbone: "resnet50", "resnet101", "vgg16"; or "tiny" for tests, random.
        weights: of the backbone; see `load_backbone`.

    Raises:
        ModelError: for another backbone, or weights that are missing or do not fit.
    """
    if backbone == "tiny":
        return HSNetwork(seeded(tiny_backbone))
    network = load_backbone(backbone, weights).network
    if not isinstance(network, ResNet | VGG16):
        raise ModelError(f"hsnet has no backbone {backbone}; use resnet50, resnet101 or vgg16")
    return HSNetwork(network)


class HSNetLoss(nn.Module):
    """The mean cross-entropy of episodes over all pixels; the learner alone learns."""

    def __init__(self, network: HSNetwork) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        network.hpn_learner.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but the backbone stays as it is in use, running statistics included."""
        super().train(mode)
        self.network.backbone.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch, whose items are named as in `Episodes`."""
        episodes = Episodes(**batch)
        return F.cross_entropy(_logits(self.network, episodes), episodes.query_masks.long())


@torch.no_grad()
def predicted(network: HSNetwork, batch: Episodes) -> Tensor:
    """Masks of a batch's queries, on the network's device: bool B×H×W."""
    return _logits(network, batch).argmax(1).bool()


def _logits(network: HSNetwork, batch: Episodes) -> Tensor:
    """Of background and foreground, B×2×H×W."""
    logits = network.hpn_learner(_correlations(network, batch)).float()
    size = batch.query_masks.shape[1:]
    return F.interpolate(logits, size, mode="bilinear", align_corners=True)


@torch.no_grad()
def _correlations(network: HSNetwork, batch: Episodes) -> list[Tensor]:
    """B×L×h×w×h×w of each level."""
    reference = next(network.backbone.parameters())
    images = normalised(torch.cat([batch.queries, batch.supports]), reference)
    cosine = Cosine()
    stacked = []
    for index, level in enumerate(read_levels(network.backbone, images)):
        grid = (level.shape[3], level.shape[4])
        queries, supports = level.chunk(2)
        pairs = []
        for query, support, mask in zip(queries, supports, batch.support_masks, strict=True):
            kept = cosine.support(index, support, mask)
            vectors = cosine.query(index, query, kept)
            pairs.append(correlate(vectors, kept["vectors"], kept["inside"], grid))
        stacked.append(torch.stack(pairs))
    return stacked
