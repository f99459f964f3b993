"""What the training-free models share: a frozen backbone, its options and its feature map.

Models with equal options share the image features, so both keep the map as the backbone gives it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from models.backbones.base import Backbone, load_backbone
from models.catalog import Card, Options
from models.geometry import Geometry, Native, Squash
from models.segmenter import Features

# Pretraining saw photographs of such things, often with their ImageNet labels; masks never.
SEES_TEST_CLASSES = {"*": "no"}


class PatchOptions(Options):
    """Options of a model over frozen patch features."""

    backbone: str = Field(
        default="efficientnet-lite0", description="a name of models.backbones.BACKBONES"
    )
    weights: str | None = Field(
        default=None,
        description="a file, a folder or a hub id owner/name[@revision]; "
        'by default the published weights; "random" for tests',
    )
    layer: str | None = Field(
        default=None,
        description='the layer to read, or several joined by "+"; by default the usual ones',
    )
    size: PositiveInt | Literal["native"] = Field(
        default=320,
        description="side in pixels of the square that images are squashed to, rounded up to what "
        'the backbone needs; "native" keeps an image\'s own size, rounded to that',
    )


def likeliest(scores: Tensor) -> Tensor:
    """How likely a class is there, by its likeliest patch: the greatest of each of B×h×w scores.

    An image is anomalous as its most anomalous patch is (PatchCore, Roth et al. 2022), and holds a
    class as the patch that looks most like it.
    """
    return scores.flatten(1).amax(1)


def unit_rows(patches: Tensor) -> Tensor:
    """C×h×w patches as h·w rows of unit length, float32."""
    return F.normalize(patches.float().flatten(1).T, dim=1)


def backbone_of(
    options: PatchOptions, *, device: str, dtype: str
) -> tuple[Backbone, Squash | Native]:
    """The backbone that `options` name, and images as it can take them.

    Raises:
        ModelError: for an unknown backbone or layer, or weights that are missing.
    """
    backbone = load_backbone(
        options.backbone, options.weights, options.layer, device=device, dtype=dtype
    )
    multiple = backbone.multiple
    if options.size == "native":
        return backbone, Native(multiple)
    return backbone, Squash(-(-options.size // multiple) * multiple)


class OverPatches:
    """The parts of the contract in which models over a frozen backbone agree.

    Args:
        backbone: gives the features.
        geometry: a grid whose sides are multiples of what the backbone needs.
        dtype: the backbone's, by its short name.
    """

    Options = PatchOptions
    card: Card
    support_reads_pixels = False

    def __init__(self, backbone: Backbone, geometry: Geometry, dtype: str) -> None:
        self.backbone = backbone
        self.geometry = geometry
        self.image_key: str | None = f"{backbone.key}:{dtype}"
        self.weights_digest: str | None = backbone.digest
        self.parameters = backbone.parameters
        self.comparable = not backbone.random
        self.config: Mapping[str, object] = {
            "backbone": backbone.name,
            "layer": backbone.layer,
            "weights": backbone.weights,
            "size": geometry.size if isinstance(geometry, Squash) else "native",
        }
        self.card = replace(
            self.card,
            weights=f"{backbone.name}: {backbone.weights}",
            licence=backbone.licence,
            training_data=backbone.training_data,
        )

    @classmethod
    def load(cls, options: PatchOptions, *, device: str, dtype: str) -> Self:
        """The model over the backbone that `options` name.

        Raises:
            ModelError: for an unknown backbone or layer, or weights that are missing.
        """
        return cls(*backbone_of(options, device=device, dtype=dtype), dtype)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `patches`: the C×h×w feature map in the backbone's dtype."""
        # Cloned, for a view would keep the whole batch alive.
        return [
            Features({"patches": patches.clone()}) for patches in self.backbone.features(images)
        ]
