"""What GF-SAM and Matcher share: DINOv2 finds, SAM segments, both frozen and read once an image."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from models.backbones.base import RANDOM, Backbone, load_backbone
from models.catalog import Card, Options
from models.errors import ModelError
from models.geometry import Geometry, Native, Squash, nearest
from models.methods.sam import Sam, load_sam
from models.methods.sam import network as sam_network
from models.methods.sam.frame import Squashed
from models.segmenter import Features, ImagePart

_SIDE, _TINY_SIDE = 518, 112
_EMPTY_SUPPORT = 14  # side in pixels of what the authors of both put in the place of an empty mask


class DinoSamOptions(Options):
    """Options of a model over DINOv2 and SAM."""

    backbone: Literal["dinov2-large", "dinov2-base", "dinov2-small"] = Field(
        default="dinov2-large", description="which DINOv2"
    )
    weights: str | None = Field(
        default=None,
        description="of DINOv2: a folder or a hub id owner/name[@revision]; by default the "
        "published weights of the backbone",
    )
    layer: str = Field(
        default="prenorm",
        description="of DINOv2: prenorm, norm, or a block's output, as block9 or block9-norm",
    )
    sam: str | None = Field(
        default=None,
        description="weights of SAM: a folder, a hub id or an original checkpoint, sam_vit_*.pth "
        "or mobile_sam.pt",
    )
    sam_input: sam_network.SamInput = "authors"
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in place of both, for tests"
    )


@dataclass(frozen=True)
class DinoSam:
    """DINOv2 and SAM, and what each sees of an image.

    Points are found and masks are wanted on the square to which the authors squash an image. SAM
    sees that square too, stretched to its own, or else the image as it was, in a `Frame`.

    Attributes:
        backbone: the DINOv2.
        sam: the SAM.
        side: side of the square that DINOv2 sees, in pixels.
        square: side of the square to which an image is squashed, in pixels.
        dtype: of both, by its short name.
        padded: whether SAM sees the image in a `Frame`.
    """

    backbone: Backbone
    sam: Sam
    side: int
    square: int
    dtype: str
    padded: bool = False

    @property
    def geometry(self) -> Geometry:
        """How images come: squashed, or as they were."""
        return Native(1) if self.padded else Squash(self.square)

    @property
    def patches(self) -> int:
        """Patches along a side."""
        return self.side // self.backbone.stride

    @property
    def image_parts(self) -> tuple[ImagePart, ...]:
        """DINOv2's `patches`, C×h×w, and SAM's `embedding` with the `size` of what SAM sees.

        SAM sees no supports. Where DINOv2 sees images as they come, its key is that of the other
        models over it.
        """
        squashed = f"<{self.square}" if self.padded else ""
        stretched = f"<{self.side}" if self.side != self.square else ""
        key = f"{self.backbone.key}{squashed}{stretched}:{self.dtype}"
        return (
            ImagePart(key, self._patches),
            ImagePart(self.sam.key, self.sam.encode_framed, supports=False),
        )

    @property
    def weights_digest(self) -> str:
        """One sha256 over both digests."""
        both = f"{self.backbone.digest} {self.sam.pretrained.digest}"
        return hashlib.sha256(both.encode()).hexdigest()

    @property
    def parameters(self) -> int:
        """Number of parameters of both."""
        return self.backbone.parameters + self.sam.pretrained.parameters

    @property
    def comparable(self) -> bool:
        """False where weights are random."""
        return not (self.backbone.random or self.sam.pretrained.random)

    @property
    def config(self) -> Mapping[str, object]:
        """What a result must tell of both."""
        config = {
            "backbone": self.backbone.name,
            "layer": self.backbone.layer,
            "weights": self.backbone.weights,
            "sam": self.sam.pretrained.source,
            "side": self.side,
        }
        # Said only where it departs, so that results from before there was a choice stay valid.
        return config | ({"sam_input": "padded"} if self.padded else {})

    def card(self, card: Card) -> Card:
        """A model's card with what these weights bring."""
        if not self.comparable:
            return self.sam.pretrained.card(card)
        return replace(
            card,
            weights=f"{self.backbone.name}: {self.backbone.weights}; {self.sam.pretrained.source}",
        )

    def _patches(self, images: Tensor) -> list[Features]:
        """DINOv2's `patches` of images (B×3×H×W in 0..1) that come as `geometry` has them.

        They are stretched from `square` to `side` bilinearly, without antialiasing.
        """
        if self.padded:
            images = torch.stack([self._squashed(image) for image in images])
        if self.side != self.square:
            images = F.interpolate(
                images, (self.side, self.side), mode="bilinear", align_corners=False
            )
        return [Features({"patches": own.clone()}) for own in self.backbone.features(images)]

    def _squashed(self, image: Tensor) -> Tensor:
        """An image (3×H×W in 0..1) as `Squash` gives it where images come squashed."""
        values = image.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        return Squash(self.square).image(Image.fromarray(values)).to(image.device).float().div(255)

    def mask(self, mask: Tensor) -> Tensor:
        """A mask that came as `geometry` has it (H×W), on the squashed image: square×square."""
        return nearest(mask, (self.square, self.square))

    def view(self, query: Features) -> Squashed:
        """How the squashed image lies in what SAM sees."""
        return Squashed(self.sam.frame(query), self.square)


def load_dino_sam(
    model: str, options: DinoSamOptions, *, as_sam: bool, device: str, dtype: str
) -> DinoSam:
    """Both networks with the weights that a user named.

    Args:
        model: the model's name, for messages.
        options: see `DinoSamOptions`.
        as_sam: whether images are squashed to the size that SAM sees, or to DINOv2's.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Raises:
        ModelError: for weights that are missing or do not fit, or `backbone`, `weights` or `sam`
            beside `random`.
    """
    tiny = options.asks_random(model, "backbone", "weights", "sam")
    if not tiny and options.sam is None:
        raise ModelError(
            f"{model} has no SAM: give its weights as the option sam=PATH|OWNER/NAME[@REVISION] "
            f"(usually {sam_network.PUBLISHED}), or the option random=tiny to try it without"
        )
    sam = load_sam(
        model,
        weights=options.sam,
        random=options.random,
        device=device,
        dtype=dtype,
        option="sam",
    )
    backbone = load_backbone(
        "dinov2-tiny" if tiny else options.backbone,
        RANDOM if tiny else options.weights,
        options.layer,
        device=device,
        dtype=dtype,
    )
    side = _TINY_SIDE if tiny else _SIDE
    square = sam.size if as_sam else side
    return DinoSam(backbone, sam, side, square, dtype, options.sam_input == "padded")


def dino_sam_card(title: str, summary: str, source: str, year: int) -> Card:
    """A card of a model over both with their usual weights."""
    return Card(
        title=title,
        summary=summary,
        source=source,
        year=year,
        weights=f"facebook/dinov2-large, {sam_network.PUBLISHED}",
        licence=f"DINOv2 Apache-2.0; SAM {sam_network.LICENCE}",
        training_data=f"LVD-142M images, no labels; {sam_network.TRAINING_DATA}",
        sees_test_classes=sam_network.SEES_TEST_CLASSES,
    )


def stand_in(size: int) -> Tensor:
    """What the authors of both put in the place of an empty mask: a small square in the middle.

    Args:
        size: side of the image in pixels.

    Returns:
        float32 size×size in {0, 1}.
    """
    mask = torch.zeros(size, size)
    inside = slice(size // 2 - _EMPTY_SUPPORT // 2, size // 2 + _EMPTY_SUPPORT // 2)
    mask[inside, inside] = 1
    return mask
