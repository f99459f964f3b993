"""Matcher as a `Segmenter`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from models.methods.dino_sam import DinoSam, DinoSamOptions, dino_sam_card, load_dino_sam, stand_in
from models.methods.matcher.masks import (
    Candidates,
    distinct,
    everything,
    kept,
    prompted,
    restored,
)
from models.methods.matcher.matching import foreground_patches, matches
from models.methods.matcher.prompts import prompts
from models.methods.matcher.selection import (
    chosen,
    coarse,
    foreground_distances,
    purity_and_coverage,
)
from models.methods.matcher.settings import PRESETS, Settings
from models.methods.patches import unit_rows
from models.methods.sam.network import ENCODE_BATCH
from models.segmenter import BaseSegmenter, Features, ImagePart, Supports, encode_parts


class MatcherOptions(DinoSamOptions):
    """Options of Matcher."""

    preset: Literal["coco", "fss", "parts"] = Field(
        default="coco", description="the authors' settings for COCO-20i, FSS-1000 or object parts"
    )


class Matcher(BaseSegmenter):
    """DINOv2's patches are matched both ways, matches prompt SAM, scores choose among the masks.

    As the authors' code with the settings of their scripts. Prompts are drawn by the episode's seed
    (there, by one generator over all episodes). The earth mover's distance is exact, as there, but
    solved only for masks that the other filters leave and that bounds do not rule out of the best,
    which changes no result. What differs: ties go to the first in order, and where no mask is left,
    on which their code fails, the prediction is empty.

    The masks of the grid of points, with `preset=coco` nearly all that an episode costs, are the
    query's alone: they are found once an image, whatever class is asked for and with what supports.

    Supports are matched together: their patches are one set. Where all are without foreground, a
    square of 14 pixels in the middle of each takes the masks' place, as there.

    Source: arXiv 2305.13310; aim-uofa/Matcher (BSD-2-Clause, for academic use).

    Args:
        networks: DINOv2 and SAM.
        settings: how masks are prompted for, scored and merged.
        preset: what to call the settings in a result.
    """

    Options = MatcherOptions
    wants = frozenset({"seeds"})
    support_reads_pixels = False
    encode_batch = ENCODE_BATCH
    card = dino_sam_card(
        "Matcher",
        "matches of DINOv2 patches prompt SAM, scores choose among the masks, no training",
        "https://arxiv.org/abs/2305.13310",
        2024,
    )

    def __init__(self, networks: DinoSam, settings: Settings, preset: str) -> None:
        self.networks = networks
        self.settings = settings
        self.sam = networks.sam
        self.geometry = networks.geometry
        self.image_parts = networks.image_parts
        if settings.grid:
            key = f"{self.sam.key}:grid{settings.grid}"
            self.image_parts += (ImagePart(key, self._gridded, after=True, supports=False),)
        self.config = {**networks.config, "preset": preset}
        self.weights_digest = networks.weights_digest
        self.parameters = networks.parameters
        self.comparable = networks.comparable
        self.card = networks.card(type(self).card)

    @classmethod
    def load(cls, options: MatcherOptions, *, device: str, dtype: str) -> Self:
        """Matcher over the networks and with the preset that `options` name.

        At the tiny random size prompts are few, too.

        Raises:
            ModelError: for weights that are missing or do not fit, or named beside `random`.
        """
        networks = load_dino_sam("matcher", options, as_sam=False, device=device, dtype=dtype)
        settings = PRESETS[options.preset]
        if options.random is not None:
            centres, grid_side = min(settings.centres, 5), min(settings.grid, 2)
            settings = replace(settings, samples=2, centres=centres, grid=grid_side)
        return cls(networks, settings, options.preset)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, the parts that `DinoSam.image_parts` names, and those of `_gridded`."""
        return encode_parts(self.image_parts, images)

    def _gridded(self, images: Sequence[Features]) -> list[Features]:
        """Per image the `masks` of the grid of points and their `ious`, as `kept` gives them."""
        count, view = self.settings.grid, self.networks.view
        return [
            Features(kept(everything(self.sam, image["embedding"], view(image), count)))
            for image in images
        ]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `rows` (unit, N×C) and `foreground` (bool N, what the mask touches)."""
        patch = self.networks.backbone.stride
        return [
            Features(
                {
                    "rows": unit_rows(feature["patches"]),
                    "foreground": foreground_patches(mask, patch).to(feature["patches"].device),
                }
            )
            for mask, feature in zip(map(self.networks.mask, masks), features, strict=True)
        ]

    def segment(
        self,
        queries: Sequence[Features],
        supports: Supports,
        *,
        seeds: Sequence[int],
    ) -> Tensor:
        """Half a point above 0 in the mask and below outside: B×side×side."""
        masks = [
            self._mask(query, shots, seed)
            for query, shots, seed in zip(queries, supports, seeds, strict=True)
        ]
        return torch.stack(masks).float() - 0.5

    def _mask(self, query: Features, shots: Sequence[Features], seed: int) -> Tensor:
        """The mask of one query: bool side×side."""
        side, patch = self.networks.side, self.networks.backbone.stride
        settings = self.settings.for_shots(len(shots))
        foreground = torch.cat([shot["foreground"] for shot in shots])
        if not foreground.any():
            middle = foreground_patches(stand_in(side), patch).repeat(len(shots))
            foreground = middle.to(foreground.device)
        cosines = torch.cat([shot["rows"] for shot in shots]) @ unit_rows(query["patches"]).T

        found = matches(cosines, foreground)
        across = side // patch
        points = torch.stack([found % across, found // across], dim=1) * patch + patch // 2
        candidates = self._candidates(query, points, settings, seed)
        patches = coarse(candidates.masks, patch)
        purity, coverage = purity_and_coverage(candidates.masks, patches, points)
        merged = chosen(
            purity,
            coverage,
            lambda some: foreground_distances(cosines[foreground], patches[some]),
            settings,
        )
        return candidates.masks[merged].any(0)

    def _candidates(
        self, query: Features, points: Tensor, settings: Settings, seed: int
    ) -> Candidates:
        """SAM's masks for the prompts drawn from the points, without duplicates."""
        view = self.networks.view(query)
        drawn = prompts(points.cpu().numpy(), settings, seed)
        box = torch.cat([points.amin(0), points.amax(0)]) if settings.box else None
        found = [
            prompted(
                self.sam,
                query["embedding"],
                view,
                torch.from_numpy(own).to(points.device),
                box,
                multimask=settings.multimask,
                iou=settings.iou,
                stability=settings.stability,
            )
            for own in drawn
        ]
        if settings.grid:
            found.append(restored(query.tensors, view.side))
        united = Candidates(
            torch.cat([part.masks for part in found]), torch.cat([part.ious for part in found])
        )
        return distinct(united, settings.nms)
