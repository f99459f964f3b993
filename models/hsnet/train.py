"""HSNet's training: its learner alone, on one-shot episodes of base classes.

The authors' recipe (`train.py` of juhongm999/hsnet): cross-entropy over all pixels, Adam at 1e-3,
20 episodes a step, the checkpoint that validates best; the backbone stays as ImageNet left it,
running statistics included.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbones.base import load_backbone, seeded
from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16
from models.errors import ModelError
from models.hsnet.correlation import Cosine, correlate
from models.hsnet.levels import read_levels
from models.hsnet.network import HSNetwork, tiny_backbone
from models.pretrained import normalised

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


def learner_optimizer(network: HSNetwork, rate: float = LEARNING_RATE) -> torch.optim.Adam:
    """The authors' optimiser, of the learner alone; `rate` is Adam's."""
    network.eval().requires_grad_(False)
    return torch.optim.Adam(network.hpn_learner.requires_grad_(True).parameters(), lr=rate)


def train(
    network: HSNetwork, batches: Iterable[Episodes], optimizer: torch.optim.Optimizer
) -> Iterator[float]:
    """Train in place, one step a batch; to stop is to stop asking.

    Args:
        network: on its device; `state_dict()` of it is a checkpoint that `hsnet` loads.
        batches: episodes of base classes, in any order.
        optimizer: of the learner, from `learner_optimizer`.

    Yields:
        The loss of each step, measured before it.
    """
    for batch in batches:
        loss = episode_loss(network, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


def episode_loss(network: HSNetwork, batch: Episodes) -> Tensor:
    """Mean cross-entropy of a batch, over all pixels."""
    logits = _logits(network, batch)
    return F.cross_entropy(logits, batch.query_masks.to(logits.device).long())


@torch.no_grad()
def predicted(network: HSNetwork, batch: Episodes) -> Tensor:
    """Masks of a batch's queries: bool B×H×W."""
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
