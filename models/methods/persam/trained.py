"""PerSAM-F (Zhang et al., ICLR 2024): PerSAM with two numbers trained on each support.

After `persam_f.py` of ZrrSkywalker/Personalize-SAM (MIT). Several shots are
averaged; and SAM runs once per support, not at every step of the training, in which its masks do
not change.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models.methods.persam.common import OverSam, persam_card
from models.methods.persam.refine import framed, refined
from models.methods.persam.target import peak, similarity, target_rows
from models.methods.sam import Sam
from models.methods.sam.network import SamOptions
from models.segmenter import Features


class PerSAMFOptions(SamOptions):
    """Options of PerSAM-F."""

    steps: PositiveInt = Field(
        default=1000, description="steps of training the two weights of a support"
    )


class PerSAMF(OverSam):
    """PerSAM with two trained numbers: how to mix SAM's three masks of different extent.

    They are trained on each support with its own mask, from the point most similar to the target,
    which is half the mean and half the maximum of the embedding under the mask. The query has the
    same point, and its mixed mask is refined twice with its logits and box. An empty mask has no
    box and is not refined.
    """

    Options = PerSAMFOptions
    name = "persam-f"
    card = persam_card(
        "PerSAM-F", "SAM prompted by the target's embedding, two weights trained per support"
    )
    # The full training of every support would take longer than all other tiny models together.
    tiny: ClassVar[Mapping[str, Any]] = {"random": "tiny", "steps": 100}

    def __init__(self, sam: Sam, steps: int = 1000) -> None:
        super().__init__(sam, steps=steps)
        self.steps = steps

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, the unit `target` (C; 0 without a mask) and the `mixture` of 3 masks."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            frame = framed(self.sam, feature)
            rows = target_rows(feature["embedding"], mask, frame)
            target, mixture = rows.new_zeros(rows.shape[1]), rows.new_full((3,), 1 / 3)
            if len(rows):
                target = F.normalize(rows.amax(0) / 2 + rows.mean(0) / 2, dim=0)
                logits, _, _ = self._ambiguous(feature, target)
                truth = mask.to(logits.device).flatten()
                mixture = trained_mixture(frame.restored(logits).flatten(1), truth, self.steps)
            encoded.append(Features({"target": target, "mixture": mixture}))
        return encoded

    def score(self, query: Features, support: Features) -> Tensor:
        """Scores of one query for the support's target and mixture: H×W."""
        masks, points, labels = self._ambiguous(query, support["target"])
        logits = torch.einsum("m,mhw->hw", support["mixture"], masks)[None]
        for _ in range(2):
            logits = refined(self.sam, query, points, labels, logits)
        return framed(self.sam, query).restored(logits)[0]

    def _ambiguous(self, image: Features, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """SAM's three masks (3×4h×4w logits) at the most similar point, the point and its label."""
        frame = framed(self.sam, image)
        found = frame.restored(similarity(image["embedding"], target)[None])[0]
        points = peak(found)[None, None]
        labels = points.new_ones(1, 1)
        logits, _ = self.sam.decode(
            image["embedding"], *self.sam.prompt(frame.points(points), labels)
        )
        return logits[0, 1:], points, labels


def trained_mixture(logits: Tensor, truth: Tensor, steps: int) -> Tensor:
    """Three weights, summing to 1, that make a mixture of masks fit the truth.

    Dice plus focal loss, AdamW with learning rate 0.001 on a cosine and ε 0.0001. The first weight
    follows from the other two, which are trained.

    Args:
        logits: of the three masks, 3×N.
        truth: N in {0, 1}.
        steps: optimisation steps.

    Returns:
        The 3 weights.
    """
    free = logits.new_full((2,), 1 / 3)
    optimizer = torch.optim.AdamW([free], lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    changes = logits[1:] - logits[0]
    for _ in range(steps):
        free.grad = changes @ loss_gradient(logits[0] + free @ changes, truth)
        optimizer.step()
        schedule.step()
    return torch.cat([1 - free.sum(0, keepdim=True), free])


def loss_gradient(logits: Tensor, truth: Tensor) -> Tensor:
    """The gradient of PerSAM-F's loss by the logits of a mask.

    The loss is 1 - (2·Σpt + 1) / (Σp + Σt + 1), with p the sigmoid of the logits and t the truth,
    plus the mean focal loss with α 0.25 and γ 2 (Lin et al., ICCV 2017). By hand, because autograd
    takes four times as long for these thousand steps.

    Args:
        logits: N.
        truth: N in {0, 1}.

    Returns:
        N.
    """
    p, rest = logits.sigmoid(), (-logits).sigmoid()
    total = p.sum() + truth.sum() + 1
    dice = ((2 * (p @ truth) + 1) / total - 2 * truth) / total * p * rest
    inside = 0.25 * rest**2 * (2 * p * F.logsigmoid(logits) - rest)
    outside = 0.75 * p**2 * (p - 2 * rest * F.logsigmoid(-logits))
    return dice + torch.where(truth > 0, inside, outside) / len(logits)
