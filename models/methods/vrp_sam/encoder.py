"""VRP-SAM's reference encoder: an image, a reference and its mask become prompts for SAM."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.methods.vrp_sam.attention import QueryDecoder
from models.methods.vrp_sam.backbone import advance, outputs

_AREA_EPS = 0.0005
_COSINE_EPS = 1e-7
_EMPHASIS = 10  # the factor of mask and prior beside the features


@dataclass(frozen=True)
class Reference:
    """What a reference with its mask gives to every image.

    Attributes:
        tokens: the queries after reading the reference, queries×C.
        prototype: mean feature under the mask, C.
        deep: the last layer's map under the mask, D×n, of the n positions inside; and one zero
            for those outside, if there are any.
    """

    tokens: Tensor
    prototype: Tensor
    deep: Tensor


class ReferenceEncoder(nn.Module):
    """The modules of `VRP_encoder` under the authors' names.

    Args:
        layers: the frozen backbone, `layer0` to `layer4`.
        queries: how many prompts are made of a reference.
        width: of a prompt.
    """

    def __init__(self, layers: Sequence[nn.Sequential], queries: int, width: int) -> None:
        super().__init__()
        for number, layer in enumerate(layers):
            self.add_module(f"layer{number}", layer)
        self.layers = list(layers)
        middle = outputs(layers[2]) + outputs(layers[3])
        # The authors' dropout behind it does nothing at inference.
        self.downsample_query = nn.Sequential(nn.Conv2d(middle, width, 1, bias=False), nn.ReLU())
        self.merge_1 = nn.Sequential(nn.Conv2d(2 * width + 1, width, 1, bias=False), nn.ReLU())
        self.transformer_decoder = QueryDecoder(queries, width)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the middle layers, B×C×h×w, and the map of layer 3, of normalised images."""
        second = advance(self.layers[:3], images)
        third = advance(self.layers[3:4], second)
        if second.shape[2:] != third.shape[2:]:
            second = F.interpolate(second, third.shape[2:], mode="bilinear", align_corners=True)
        reduced: Tensor = self.downsample_query(torch.cat([second, third], 1))
        return reduced, third

    def deep(self, third: Tensor) -> Tensor:
        """The map of layer 4, B×D×h×w, from that of layer 3."""
        return advance(self.layers[4:], third)

    def reference(self, image: Tensor, mask: Tensor) -> Reference:
        """Read one reference.

        Args:
            image: normalised, 3×H×W.
            mask: H×W in {0, 1}.
        """
        features, third = self.features(image[None])
        mask = F.interpolate(mask.to(third)[None, None], third.shape[2:], mode="nearest")
        prototype = (features * mask).sum((2, 3)) / (mask.sum() + _AREA_EPS)
        merged = self.merge(features, prototype, mask)
        tokens = self.transformer_decoder.read_reference(merged)[0]
        inside = mask.flatten() > 0
        deep = self.deep(third * mask)[0].flatten(1)
        columns = [deep[:, inside], deep.new_zeros(len(deep), 0 if inside.all() else 1)]
        return Reference(tokens, prototype[0], torch.cat(columns, 1))

    def prompts(self, features: Tensor, deep: Tensor, reference: Reference) -> Tensor:
        """The prompts that a reference makes for one image: queries×C.

        Args:
            features: of the image, C×h×w.
            deep: its map of layer 4, D×h×w.
            reference: from `reference`.
        """
        likeness = prior(deep, reference.deep)[None, None].to(features)
        merged = self.merge(features[None], reference.prototype[None], likeness)
        return self.transformer_decoder.read_image(reference.tokens[None], merged)[0]

    def merge(self, features: Tensor, prototype: Tensor, emphasis: Tensor) -> Tensor:
        """Features B×C×h×w joined with a prototype B×C and a map B×1×h×w."""
        everywhere = prototype[:, :, None, None].expand_as(features)
        merged: Tensor = self.merge_1(torch.cat([features, everywhere, emphasis * _EMPHASIS], 1))
        return merged


def prior(deep: Tensor, reference: Tensor) -> Tensor:
    """The greatest cosine of each position (of D×h×w) with the columns of D×n: h×w float32."""
    query, columns = deep.flatten(1).float(), reference.float()
    lengths = columns.norm(dim=0)[:, None] * query.norm(dim=0)
    cosines: Tensor = columns.T @ query / (lengths + _COSINE_EPS)
    return cosines.amax(0).view(deep.shape[1:])
