"""PerSAM (Zhang et al., ICLR 2024): one example personalises SAM, without training.

After `persam.py` of ZrrSkywalker/Personalize-SAM (MIT). Several shots, which the authors do not
define, are averaged.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.methods.persam.common import OverSam, persam_card
from models.methods.persam.refine import best, refined
from models.methods.persam.target import peak, similarity, target_rows
from models.methods.sam import SINGLE_MASK, Guidance
from models.segmenter import Features


class PerSAM(OverSam):
    """Training-free PerSAM.

    The target is the mean embedding under the mask. On the query, its most and least similar
    positions prompt SAM, the similarity guides the decoder's attention, the target joins its
    tokens, and the mask is refined twice: with its logits, then also with its box. Where the
    first refinement is empty and has no box (the authors' code fails there), it is the result.
    """

    name = "persam"
    card = persam_card("PerSAM", "SAM prompted and guided by the target's embedding, no training")

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `target`: the mean embedding under the mask, C float32; 0 without one."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            rows = target_rows(feature["embedding"], mask, self.sam.frame(feature))
            target = rows.mean(0) if len(rows) else rows.new_zeros(rows.shape[1])
            encoded.append(Features({"target": target}))
        return encoded

    def score(self, query: Features, support: Features) -> Tensor:
        """Scores of one query for the support's target: H×W."""
        sam, embedding, target = self.sam, query["embedding"], support["target"]
        frame = sam.frame(query)
        found = frame.restored(similarity(embedding, target)[None])[0]
        points = torch.stack([peak(found), peak(-found)])[None]
        labels = points.new_tensor([[1, 0]])
        guidance = Guidance(attention_similarity(found, embedding.shape[-2:]), target)
        prompt = sam.prompt(frame.points(points), labels)
        logits, _ = sam.decode(embedding, *prompt, guidance, SINGLE_MASK)
        logits = best(sam, query, points, labels, logits[:, 0])
        return frame.restored(refined(sam, query, points, labels, logits))[0]


def attention_similarity(found: Tensor, grid: torch.Size) -> Tensor:
    """Similarities (H×W) as PerSAM's attention wants them: standardised, h·w in 0..1.

    As in the authors' code, the map without padding is stretched over the whole grid.
    """
    standard = (found - found.mean()) / found.std().clamp_min(1e-8)
    coarse = F.interpolate(
        standard[None, None], (grid[0], grid[1]), mode="bilinear", align_corners=False
    )
    return coarse.flatten().sigmoid()
