"""What PerSAM and PerSAM-F share beside their prompting: SAM, its features, several shots."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.catalog import Card
from models.geometry import Native
from models.methods.persam.refine import empty
from models.methods.sam import Sam, load_sam
from models.methods.sam.network import (
    ENCODE_BATCH,
    LICENCE,
    PUBLISHED,
    SEES_TEST_CLASSES,
    TRAINING_DATA,
    SamOptions,
)
from models.segmenter import Features, Supports
from models.weights.pretrained import OverNetwork


def persam_card(title: str, summary: str) -> Card:
    """A card of one of the two."""
    return Card(
        title=title,
        summary=summary,
        source="https://arxiv.org/abs/2305.03048",
        year=2023,
        weights=PUBLISHED,
        licence=LICENCE,
        training_data=TRAINING_DATA,
        sees_test_classes=SEES_TEST_CLASSES,
    )


class OverSam(OverNetwork):
    """The parts of the contract in which PerSAM and PerSAM-F agree.

    Images and masks come in their own size, in whose pixels the authors find points and boxes, and
    are scaled for SAM here. What is kept of several supports is averaged. Supports without
    foreground are left out; where all are, the prediction is empty.

    Args:
        sam: segments.
        config: the model's own options, for the result.

    Attributes:
        name: the model's name, for messages.
    """

    Options: ClassVar[type[SamOptions]] = SamOptions
    support_reads_pixels = False
    encode_batch = ENCODE_BATCH
    name: ClassVar[str]

    def __init__(self, sam: Sam, **config: object) -> None:
        super().__init__(sam.pretrained, size=sam.size, **config)
        self.sam = sam
        self.geometry = Native(1)
        self.image_key = sam.key

    @classmethod
    def load(cls, options: SamOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """The model over the SAM that `options` name; its other options go to its class.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        given = options.model_dump()
        weights, random = given.pop("weights"), given.pop("random")
        sam = load_sam(cls.name, weights=weights, random=random, device=device, dtype=dtype)
        return cls(sam, **given)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image SAM's `embedding`, and its `size`; see `Sam.encode_framed`."""
        return self.sam.encode_framed(images)

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """SAM's logits of the refined mask, of the images' size: B×H×W, foreground > 0."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            used = [shot for shot in shots if shot["target"].any()]
            if used:
                names = used[0].tensors
                mean = {name: torch.stack([shot[name] for shot in used]).mean(0) for name in names}
                scores.append(self.score(query, Features(mean)))
            else:
                scores.append(empty(query))
        return torch.stack(scores)

    def score(self, query: Features, support: Features) -> Tensor:
        """Scores of one query, H×W, for what is kept of a support, or for their mean."""
        raise NotImplementedError
