"""PerSAM (Zhang et al., ICLR 2024): one example personalises SAM, without training.

After `persam.py` of ZrrSkywalker/Personalize-SAM (MIT). What differs: points and boxes are found on
the model's grid, not at the image's original size; masks come to the grid by nearest neighbour;
several shots, which the authors do not define, are averaged.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import Card
from models.methods.persam.refine import best, empty, refined
from models.methods.persam.target import cropped, peak, similarity, target_rows
from models.methods.sam import Guidance, Sam, load_sam
from models.methods.sam.network import (
    ENCODE_BATCH,
    LICENCE,
    PUBLISHED,
    SEES_TEST_CLASSES,
    TRAINING_DATA,
    SamOptions,
)
from models.segmenter import Features
from models.weights.pretrained import OverNetwork


class PerSAM(OverNetwork):
    """Training-free PerSAM.

    The target is the mean embedding under the mask. On the query, its most and least similar
    positions prompt SAM, the similarity guides the decoder's attention, the target joins its
    tokens, and the mask is refined twice: with its logits, then also with its box. Supports
    without foreground are left out; where all are, the prediction is empty. Where the first
    refinement is empty and has no box (the authors' code fails there), it is the result.
    """

    Options = SamOptions
    card = Card(
        title="PerSAM",
        summary="SAM prompted and guided by the target's embedding, no training",
        source="https://arxiv.org/abs/2305.03048",
        year=2023,
        weights=PUBLISHED,
        licence=LICENCE,
        training_data=TRAINING_DATA,
        sees_test_classes=SEES_TEST_CLASSES,
    )
    support_reads_pixels = False
    encode_batch = ENCODE_BATCH

    def __init__(self, sam: Sam) -> None:
        super().__init__(sam.pretrained, size=sam.size)
        self.sam = sam
        self.geometry = sam.geometry
        self.image_key = sam.key

    @classmethod
    def load(cls, options: SamOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """PerSAM over the SAM that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        weights, random = options.weights, options.random
        return cls(load_sam("persam", weights=weights, random=random, device=device, dtype=dtype))

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, SAM's `embedding` and the `content` without padding; see `Sam.encode`."""
        return self.sam.encode(images)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `target`: the mean embedding under the mask, C float32; 0 without one."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            rows = target_rows(feature["embedding"], mask)
            target = rows.mean(0) if len(rows) else rows.new_zeros(rows.shape[1])
            encoded.append(Features({"target": target}))
        return encoded

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        """SAM's logits of the refined mask on the whole grid: B×size×size, foreground > 0."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            targets = [shot["target"] for shot in shots if shot["target"].any()]
            if targets:
                scores.append(self._segment(query, torch.stack(targets).mean(0)))
            else:
                scores.append(empty(self.sam, query))
        return torch.stack(scores)

    def _segment(self, query: Features, target: Tensor) -> Tensor:
        """Scores of one query for one target: size×size."""
        sam, embedding = self.sam, query["embedding"]
        found = sam.enlarge(similarity(embedding, target)[None])
        found = cropped(found, query["content"])[0]
        points = torch.stack([peak(found), peak(-found)])[None]
        labels = points.new_tensor([[1, 0]])
        guidance = Guidance(attention_similarity(found, embedding.shape[-2:]), target)
        logits, _ = sam.decode(embedding, *sam.prompt(points, labels), guidance)
        logits = best(sam, query, points, labels, logits[:, 0])
        return sam.enlarge(refined(sam, query, points, labels, logits))[0]


def attention_similarity(found: Tensor, grid: torch.Size) -> Tensor:
    """Similarities (H×W) as PerSAM's attention wants them: standardised, h·w in 0..1.

    As in the authors' code, the map without padding is stretched over the whole grid.
    """
    standard = (found - found.mean()) / found.std().clamp_min(1e-8)
    coarse = F.interpolate(
        standard[None, None], (grid[0], grid[1]), mode="bilinear", align_corners=False
    )
    return coarse.flatten().sigmoid()
