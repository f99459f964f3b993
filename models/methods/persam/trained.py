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
from models.methods.persam.mixture import trained_mixture
from models.methods.persam.refine import refined
from models.methods.persam.target import peak, similarity, target_rows
from models.methods.sam import THREE_MASKS, Sam
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
            frame = self.sam.frame(feature)
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
        return self.sam.frame(query).restored(logits)[0]

    def _ambiguous(self, image: Features, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """SAM's three masks (3×4h×4w logits) at the most similar point, the point and its label."""
        frame = self.sam.frame(image)
        found = frame.restored(similarity(image["embedding"], target)[None])[0]
        points = peak(found)[None, None]
        labels = points.new_ones(1, 1)
        prompt = self.sam.prompt(frame.points(points), labels)
        logits, _ = self.sam.decode(image["embedding"], *prompt, which=THREE_MASKS)
        return logits[0], points, labels
