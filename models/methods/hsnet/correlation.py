"""4D correlations between every position of a query and every position of a masked support.

A support's features are zero outside its mask, and so are its correlations there. Only what lies
inside is kept and compared: a tenth of the memory and of the products, with the same result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

_EPS = 1e-5


class Comparison(Protocol):
    """How a query's maps meet those of a support, at levels 0 to 2."""

    def support(self, level: int, maps: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        """What is kept of a support's maps (L×C×h×w) under its H×W mask.

        Returns:
            `vectors`, L×C×n of unit length, of the positions `inside` the mask (n indices), and
            what else `query` needs.
        """

    def query(self, level: int, maps: Tensor, support: Mapping[str, Tensor]) -> Tensor:
        """A query's maps (L×C×h×w) as L×C×(h·w) unit vectors to compare with a support's."""


class Cosine:
    """HSNet's comparison: the maps themselves."""

    def support(self, level: int, maps: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        """`vectors` and `inside`."""
        under = masked(maps, mask)
        return {"vectors": unit(under.vectors), "inside": under.inside}

    def query(self, level: int, maps: Tensor, support: Mapping[str, Tensor]) -> Tensor:
        """The same for every support."""
        return unit(maps.flatten(2))


def unit(vectors: Tensor) -> Tensor:
    """Vectors (L×C×n) divided by their length plus 1e-5: a zero vector stays zero."""
    lengths: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / (lengths + _EPS)


@dataclass(frozen=True)
class Masked:
    """A level of a support under its mask.

    Attributes:
        vectors: of the positions inside, times the mask there: L×C×n.
        inside: those n of the h·w positions, in row order.
        mask: the mask on the level's grid, soft at its border: h×w.
    """

    vectors: Tensor
    inside: Tensor
    mask: Tensor


def masked(level: Tensor, mask: Tensor) -> Masked:
    """Put a level's L×C×h×w features under an H×W mask in {0, 1}, resized bilinearly."""
    mask = mask.to(level)[None, None]
    soft = F.interpolate(mask, level.shape[2:], mode="bilinear", align_corners=True)[0, 0]
    inside = soft.flatten().nonzero()[:, 0]
    vectors = level.flatten(2)[..., inside] * soft.flatten()[inside]
    return Masked(vectors, inside, soft)


def correlate(query: Tensor, support: Tensor, inside: Tensor, size: tuple[int, int]) -> Tensor:
    """The cosine of every query position with every support position, negative ones as zero.

    Args:
        query: L×C×N unit vectors, N = h·w of `size`.
        support: L×C×n unit vectors of the positions `inside`.
        inside: n of the h·w positions; all others are zero vectors.
        size: h and w, equal for query and support.

    Returns:
        L×h×w×h×w, the query's dimensions first.
    """
    correlation = query.new_zeros(len(query), query.shape[2], query.shape[2])
    correlation[..., inside] = (query.mT @ support).clamp_min(0)
    return correlation.view(-1, *size, *size)
