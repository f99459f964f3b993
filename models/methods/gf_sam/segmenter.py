"""GF-SAM as a `Segmenter`."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from models.methods.dino_sam import DinoSam, DinoSamOptions, dino_sam_card, load_dino_sam, stand_in
from models.methods.gf_sam.alignment import aligned, merged
from models.methods.gf_sam.graph import clusters, coarse, consistent, unions
from models.methods.gf_sam.point_masks import PointMasks
from models.methods.gf_sam.priors import (
    averaged,
    coarse_masks,
    directions,
    point_map,
    points,
    prior,
)
from models.methods.sam.network import ENCODE_BATCH
from models.segmenter import BaseSegmenter, Features, Supports, encode_parts


class GFSAM(BaseSegmenter):
    """Points of DINOv2 prompt SAM one by one; a graph of points and masks chooses among the masks.

    As the authors' code, at one size per model: images are squashed to the square that SAM sees
    (1024), and stretched from there to 518 for DINOv2 (torchvision of their time, too, did not
    antialias tensors). A point is the top left pixel of its patch, as there. What differs: the mask
    is stretched to the image by the evaluator, and ties go to the first in order. With
    `sam_input=padded` SAM alone sees another image, and its masks are brought to that square.

    Supports without foreground count as they do there: among others they resemble nothing, and
    where all are such, a square of 14 pixels in the middle of each takes the masks' place.

    Source: arXiv 2410.06964; ANDYZAQ/GF-SAM (MIT).

    Args:
        networks: DINOv2 and SAM.
    """

    Options = DinoSamOptions
    support_reads_pixels = False
    encode_batch = ENCODE_BATCH
    card = dino_sam_card(
        "GF-SAM",
        "DINOv2 points prompt SAM, a graph chooses among the masks, no training, no parameters",
        "https://arxiv.org/abs/2410.06964",
        2024,
    )

    def __init__(self, networks: DinoSam) -> None:
        self.networks = networks
        self.sam = networks.sam
        self.point_masks = PointMasks(networks.sam)
        self.geometry = networks.geometry
        self.image_parts = networks.image_parts
        self.config = networks.config
        self.weights_digest = networks.weights_digest
        self.parameters = networks.parameters
        self.comparable = networks.comparable
        self.card = networks.card(type(self).card)

    @classmethod
    def load(cls, options: DinoSamOptions, *, device: str, dtype: str) -> Self:
        """GF-SAM over the networks that `options` name.

        Raises:
            ModelError: for weights that are missing or do not fit, or named beside `random`.
        """
        return cls(load_dino_sam("gf-sam", options, as_sam=True, device=device, dtype=dtype))

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, DINOv2's `patches` and SAM's `embedding`; see `DinoSam.image_parts`."""
        return encode_parts(self.image_parts, images)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `rows` (N×C, for cosines) and `masks` on the patches.

        `masks` are 2×N in 0..1, of the foreground and of the background.
        """
        side = self.networks.patches
        return [
            Features(
                {
                    "rows": directions(feature["patches"]),
                    "masks": coarse_masks(mask, side).to(feature["patches"].device),
                    "empty": ~mask.any(),
                }
            )
            for mask, feature in zip(map(self.networks.mask, masks), features, strict=True)
        ]

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Half a point above 0 in the mask and below outside: B×size×size."""
        masks = [self._mask(query, shots) for query, shots in zip(queries, supports, strict=True)]
        return torch.stack(masks).float() - 0.5

    def _mask(self, query: Features, shots: Sequence[Features]) -> Tensor:
        """The mask of one query: bool size×size."""
        side, size = self.networks.patches, self.networks.square
        rows = directions(query["patches"])
        masks = torch.stack([shot["masks"] for shot in shots])
        if all(shot["empty"] for shot in shots):
            masks = coarse_masks(stand_in(size), side).to(rows.device).expand_as(masks)
        cosines = [shot["rows"] @ rows.T for shot in shots]
        foreground, background = (
            averaged([prior(c, mask) for c, mask in zip(cosines, kind, strict=True)])
            for kind in masks.unbind(1)
        )

        places = points(point_map(foreground, background), side)
        if len(places) == 0:
            return torch.zeros(size, size, dtype=torch.bool, device=rows.device)
        pixels = places * size // side
        found = self.point_masks.of(query["embedding"], self.networks.view(query), pixels)

        labels = clusters(found[:, pixels[:, 1], pixels[:, 0]])
        middle = (foreground.mean.max() + foreground.mean.min()) / 2
        gain = foreground.mean**2 - background.mean * middle
        taken, scores = aligned(coarse(found, side), labels, gain)
        areas = coarse(unions(found, labels), side)
        own = rows[places[:, 1] * side + places[:, 0]]
        resemblance = torch.stack([prior(rows @ own.T, area).mean for area in areas])
        return merged(found, taken, consistent(places, labels, resemblance), scores)
