"""PerSAM-F (Zhang et al., ICLR 2024): PerSAM with two numbers trained on each support.

After `persam_f.py` of ZrrSkywalker/Personalize-SAM (MIT). What differs: see
`models.methods.persam.plain`; and SAM runs once per support, not at every step of the training, in which
its masks do not change.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models import catalog
from models.catalog import Card
from models.methods.persam.refine import empty, refined
from models.methods.persam.target import cropped, peak, similarity, target_rows
from models.methods.sam import Sam, load_sam
from models.methods.sam.network import (
    ENCODE_BATCH,
    LICENCE,
    PUBLISHED,
    SEES_TEST_CLASSES,
    TRAINING_DATA,
)
from models.segmenter import Features
from models.weights.pretrained import OverNetwork


class PerSAMFOptions(catalog.Options):
    """Options of PerSAM-F."""

    weights: str | None = Field(
        default=None,
        description="a folder with config.json and model.safetensors, a hub id "
        "owner/name[@revision], or an original file sam_vit_*.pth",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in their place, for tests"
    )
    steps: PositiveInt = Field(
        default=1000, description="steps of training the two weights of a support"
    )


class PerSAMF(OverNetwork):
    """PerSAM with two trained numbers: how to mix SAM's three masks of different extent.

    They are trained on each support with its own mask, from the point most similar to the target,
    which is half the mean and half the maximum of the embedding under the mask. The query has the
    same point, and its mixed mask is refined twice with its logits and box. Of several shots, the
    unit targets and the weights are averaged. Supports without foreground are left out; where all
    are, the prediction is empty. An empty mask has no box and is not refined.
    """

    Options = PerSAMFOptions
    card = Card(
        title="PerSAM-F",
        summary="SAM prompted by the target's embedding, two weights trained per support",
        source="https://arxiv.org/abs/2305.03048",
        year=2023,
        weights=PUBLISHED,
        licence=LICENCE,
        training_data=TRAINING_DATA,
        sees_test_classes=SEES_TEST_CLASSES,
    )
    support_reads_pixels = False
    encode_batch = ENCODE_BATCH
    # The full training of every support would take longer than all other tiny models together.
    tiny: ClassVar[Mapping[str, Any]] = {"random": "tiny", "steps": 100}

    def __init__(self, sam: Sam, steps: int = 1000) -> None:
        super().__init__(sam.pretrained, size=sam.size, steps=steps)
        self.sam = sam
        self.steps = steps
        self.geometry = sam.geometry
        self.image_key = sam.key

    @classmethod
    def load(cls, options: PerSAMFOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """PerSAM-F over the SAM that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        weights, random = options.weights, options.random
        sam = load_sam("persam-f", weights=weights, random=random, device=device, dtype=dtype)
        return cls(sam, options.steps)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, SAM's `embedding` and the `content` without padding; see `Sam.encode`."""
        return self.sam.encode(images)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, the unit `target` (C; 0 without a mask) and the `mixture` of 3 masks."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            rows = target_rows(feature["embedding"], mask)
            target, mixture = rows.new_zeros(rows.shape[1]), rows.new_full((3,), 1 / 3)
            if len(rows):
                target = F.normalize(rows.amax(0) / 2 + rows.mean(0) / 2, dim=0)
                logits, _, _ = self._ambiguous(feature, target)
                size = feature["content"]
                logits = cropped(self.sam.enlarge(logits), size).flatten(1)
                truth = cropped(mask.to(logits.device), size).flatten()
                mixture = trained_mixture(logits, truth, self.steps)
            encoded.append(Features({"target": target, "mixture": mixture}))
        return encoded

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        """SAM's logits of the refined mask on the whole grid: B×size×size, foreground > 0."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            used = [shot for shot in shots if shot["target"].any()]
            if used:
                target = torch.stack([shot["target"] for shot in used]).mean(0)
                mixture = torch.stack([shot["mixture"] for shot in used]).mean(0)
                scores.append(self._segment(query, target, mixture))
            else:
                scores.append(empty(self.sam, query))
        return torch.stack(scores)

    def _segment(self, query: Features, target: Tensor, mixture: Tensor) -> Tensor:
        """Scores of one query for one target and mixture: size×size."""
        masks, points, labels = self._ambiguous(query, target)
        logits = torch.einsum("m,mhw->hw", mixture, masks)[None]
        for _ in range(2):
            logits = refined(self.sam, query, points, labels, logits)
        return self.sam.enlarge(logits)[0]

    def _ambiguous(self, image: Features, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """SAM's three masks (3×4h×4w logits) at the most similar point, the point and its label."""
        found = self.sam.enlarge(similarity(image["embedding"], target)[None])
        found = cropped(found, image["content"])[0]
        points = peak(found)[None, None]
        labels = points.new_ones(1, 1)
        logits, _ = self.sam.decode(image["embedding"], *self.sam.prompt(points, labels))
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
