"""FSS-SAM3 as a `Segmenter`.

After `model/evaluate.py` and `sam3/model/sam3_image_processor.py` of WongKinYiu/FSS-SAM3
(arXiv 2604.05433).
"""

import functools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from models.catalog import Card
from models.geometry import Native
from models.methods.fss_sam3.boxes import encode_boxes
from models.methods.fss_sam3.canvas import Arrangement, Layout, Orient, paint, placed
from models.methods.fss_sam3.network import Words, tiny_network, tiny_words, words_of
from models.segmenter import Features, Supports
from models.weights.pretrained import (
    OverNetwork,
    Pretrained,
    PretrainedOptions,
    hint,
    load_pretrained,
)

PUBLISHED = "facebook/sam3"
_NO_NAME = "visual"  # the text that SAM 3 reads where boxes alone say what is meant
_SURE = 0.5  # probability above which an object is kept
_NOTHING = -10.0  # logit where none is
_NO_BOX = -10  # transformers' label of a box that is none


class FSSSAM3Options(PretrainedOptions):
    """Options of FSS-SAM3."""

    ratio: float | None = Field(
        default=None,
        ge=0.05,
        le=0.95,
        description="the supports' share of the canvas; if not given 0.6 of one, 0.3 of several",
    )
    orient: Orient = Field(
        default="vertical", description="one support above the query, or to its left"
    )
    swap: bool = Field(
        default=True,
        description="the query comes first; the authors do so on COCO-20i, not on PASCAL-5i",
    )
    layout: Arrangement = Field(
        default="l_shape", description="where several supports lie around the query"
    )
    box: Literal["part", "whole"] = Field(
        default="part",
        description="the box around a mask's largest connected part, or around all of it",
    )


class FSSSAM3(OverNetwork):
    """Supports and query on one canvas, on which SAM 3 finds all objects like those in boxes.

    A support's mask is nothing but a box. The authors take the box of one object of the class; a
    mask of the class knows no objects, so that its largest connected part stands for one. The text
    prompt is "visual", as SAM 3 has it for boxes alone. A support without foreground is shown
    without a box. The authors know one and five supports; here strips and the L are cut for any
    number. What is found at the query's place is stretched to the query by nearest neighbour.

    What SAM 3 sees of an image depends on where on the canvas it lies and what lies beside it, so
    that nothing is kept but the images themselves.
    """

    Options = FSSSAM3Options
    name = "fss-sam3"
    card = Card(
        title="FSS-SAM3",
        summary="SAM 3 over a canvas of supports and query, prompted by the supports' boxes; no "
        "training",
        source="https://arxiv.org/abs/2604.05433",
        year=2026,
        weights=f"{PUBLISHED} (gated)",
        licence="SAM License (as published, unverified)",
        training_data="SA-Co: masks of 4 million noun phrases in photographs and videos",
        sees_test_classes={
            "*": "unknown",
            "coco": "yes",
            "coco2pascal": "yes",
            "lvis": "yes",
            "pascal": "yes",
            "shapes": "no",
        },
    )
    support_reads_pixels = False
    image_key = "fss-sam3: pixels"

    def __init__(
        self, pretrained: Pretrained, words: Words, layout: Layout, box: str = "part"
    ) -> None:
        arranged = {key: value for key, value in asdict(layout).items() if key != "side"}
        super().__init__(pretrained, **arranged, box=box)
        self.network = pretrained.network
        encoder = self.network.geometry_encoder
        encoder._encode_boxes = functools.partial(encode_boxes, encoder)
        self._words = words
        self._layout = layout
        self._whole = box == "whole"
        self.geometry = Native(1)

    @classmethod
    def load(cls, options: FSSSAM3Options, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """FSS-SAM3 with the weights that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        given = options.model_dump()
        weights = given.pop("weights")
        pretrained = load_pretrained(
            cls.name,
            "Sam3Model",
            PUBLISHED,
            tiny_network,
            weights=weights,
            random=given.pop("random"),
            device=device,
            dtype=dtype,
        )
        words = tiny_words if pretrained.random else words_of(weights, hint(PUBLISHED))
        box = given.pop("box")
        side = int(pretrained.network.config.vision_config.image_size)
        return cls(pretrained, words, Layout(side, **given), box)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image its pixels, uint8 3×H×W."""
        return [Features({"image": image.clone()}) for image in (images * 255).round().byte()]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per (image, mask) the pixels, and the `box`: left, top, width, height, all 0 for none."""
        return [
            Features(
                {
                    "image": own["image"],
                    "box": own["image"].new_tensor(
                        box_of(mask.cpu().numpy() > 0, whole=self._whole), dtype=torch.float32
                    ),
                }
            )
            for mask, own in zip(masks, features, strict=True)
        ]

    @torch.no_grad()
    def segment(
        self,
        queries: Sequence[Features],
        supports: Supports,
        names: Sequence[str] | None = None,
    ) -> Tensor:
        """Logits of the likeliest object at each pixel of the queries, B×H×W.

        Args:
            queries: of `encode_image`.
            supports: of `encode_support`.
            names: of the queries' classes; None where only boxes say what is meant.
        """
        texts = names or [_NO_NAME] * len(queries)
        return torch.stack(
            [self._logits(*one) for one in zip(queries, supports, texts, strict=True)]
        )

    def _logits(self, query: Features, shots: Sequence[Features], text: str) -> Tensor:
        side = self._layout.side
        places, own = self._layout.places(len(shots))
        canvas = paint(side, [*(s["image"] for s in shots), query["image"]], [*places, own])
        boxes = [
            placed(shot["box"], shot["image"], place, side)
            for shot, place in zip(shots, places, strict=True)
            if shot["box"].any()
        ]
        labels = [1] * len(boxes) or [_NO_BOX]
        network: Any = self.network
        like = next(network.parameters())
        output = network(
            pixel_values=(canvas[None] / 127.5 - 1).to(like),
            input_ids=torch.tensor([self._words(text)], device=like.device),
            input_boxes=torch.stack(boxes or [canvas.new_zeros(4)])[None].to(like),
            input_boxes_labels=torch.tensor([labels], device=like.device),
        )
        sure = output.pred_logits[0].float().sigmoid() * output.presence_logits[0].float().sigmoid()
        best = canvas.new_full((side, side), _NOTHING)
        for mask in output.pred_masks[0][sure > _SURE].float():
            whole = F.interpolate(mask[None, None], (side, side), mode="bilinear")[0, 0]
            best = torch.maximum(best, whole)
        shown = best[None, None, own.top : own.top + own.height, own.left : own.left + own.width]
        return F.interpolate(shown, query["image"].shape[1:], mode="nearest-exact")[0, 0]


class FSSSAM3Text(FSSSAM3):
    """FSS-SAM3 whose text prompt is the name of the class, which no support shows."""

    name = "fss-sam3-text"
    wants = frozenset({"names"})
    card = Card(
        title="FSS-SAM3 + text",
        summary="FSS-SAM3 that is told the name of the class; the name is knowledge beside the "
        "supports, so that its numbers are no few-shot segmenter's",
        source=FSSSAM3.card.source,
        year=FSSSAM3.card.year,
        weights=f"{PUBLISHED} (gated)",
        licence=FSSSAM3.card.licence,
        training_data=FSSSAM3.card.training_data,
        text_prompts=True,
        sees_test_classes=FSSSAM3.card.sees_test_classes,
    )


def box_of(mask: NDArray[np.bool_], *, whole: bool) -> tuple[int, int, int, int]:
    """The box around a mask, or around its largest connected part, diagonals included.

    Args:
        mask: H×W.
        whole: around all of it.

    Returns:
        Left, top, width, height in pixels; all 0 for an empty mask.
    """
    if not whole and mask.any():
        from scipy import ndimage

        parts, _ = ndimage.label(mask, np.ones((3, 3)))
        mask = parts == np.bincount(parts[mask]).argmax()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
