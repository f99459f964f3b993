"""Small networks behind a backbone's maps, fitted to agree on sheared views of one episode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shear = tuple[int, int]  # degrees along x and y


class Head(nn.Module):
    """1×1 convolution, batch norm, ReLU and 1×1 convolution; the norm is by batch throughout."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.linear = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """B×C×h×w to B×out_channels×h×w."""
        adapted: Tensor = self.linear(F.relu(self.bn(self.conv(maps))))
        return adapted


@dataclass(frozen=True)
class Fitting:
    """How a head is fitted; the defaults are the authors'."""

    num_epochs: int = 25
    lr: float = 1e-2
    temperature: float = 0.5


@dataclass(frozen=True)
class Views:
    """One level of an episode: V sheared views of the query and of each of K supports.

    Attributes:
        query: maps of the query, sheared: V×C×h×w.
        query_of: maps of the sheared query.
        support: maps of the supports, sheared: (K·V)×C×h×w, support by support.
        support_of: maps of the sheared supports.
        masks: the supports' masks, sheared, on the level's grid: (K·V)×h×w.
    """

    query: Tensor
    query_of: Tensor
    support: Tensor
    support_of: Tensor
    masks: Tensor


def sheared(maps: Tensor, shears: Sequence[Shear]) -> Tensor:
    """Each of B maps under each shear about its centre, by nearest neighbour, 0 outside.

    Args:
        maps: B×C×H×W.
        shears: V of them, in degrees.

    Returns:
        (B·V)×C×H×W, map by map.
    """
    height, width = maps.shape[2:]
    across = torch.arange(width, device=maps.device) + 0.5 - width / 2
    down = torch.arange(height, device=maps.device) + 0.5 - height / 2
    views = []
    for shear in shears:
        x, y = (math.tan(math.radians(degrees)) for degrees in shear)
        columns = (1 + x * y) * across[None, :] + x * down[:, None]
        rows = y * across[None, :] + down[:, None]
        grid = torch.stack([columns * 2 / width, rows * 2 / height], dim=-1)
        grid = grid.to(maps).expand(len(maps), -1, -1, -1)
        views.append(F.grid_sample(maps, grid, mode="nearest", align_corners=False))
    return torch.stack(views, dim=1).flatten(0, 1)


def fit(head: Head, views: Views, fitting: Fitting) -> None:
    """Fit a head in place: no mask of the query takes part.

    Equal places of a view and of the sheared map shall be alike and others not (InfoNCE), their
    means and variances equal, and the supports' foreground unlike their background.
    """
    optimizer = torch.optim.SGD(head.parameters(), lr=fitting.lr)
    count = len(views.query)
    for _ in range(fitting.num_epochs):
        loss = torch.zeros((), device=views.query.device)
        for maps, maps_of in (
            (views.query, views.query_of),
            (views.support, views.support_of),
        ):
            one, other = F.normalize(head(maps), dim=1), F.normalize(head(maps_of), dim=1)
            loss = loss + _info_nce(one, other, fitting.temperature) + _moments(one, other)
        loss = loss + _contrast(one, other, views.masks, count)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _info_nce(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each place of `one` among those of `other`, B×C×h×w both."""
    logits = one.flatten(2).mT @ other.flatten(2) / temperature
    loss: Tensor = (logits.logsumexp(-1) - logits.diagonal(dim1=1, dim2=2)).mean()
    return loss


def _moments(one: Tensor, other: Tensor) -> Tensor:
    """How far means and variances over each map's places are apart."""
    means = (one.mean((2, 3)) - other.mean((2, 3))).abs().mean()
    return means + (one.var((2, 3)) - other.var((2, 3))).abs().mean()


def _contrast(one: Tensor, other: Tensor, masks: Tensor, views: int) -> Tensor:
    """Cross entropy of foreground's prototype meeting foreground's and not background's."""
    foreground, _ = _prototypes(one, masks, views)
    own, background = _prototypes(other, masks, views)
    near, far = F.cosine_similarity(foreground, own), F.cosine_similarity(foreground, background)
    return F.softplus(far - near).mean()


def _prototypes(maps: Tensor, masks: Tensor, views: int) -> tuple[Tensor, Tensor]:
    """Mean foreground and background of each view over all supports: V×C both."""
    vectors = maps.reshape(-1, views, *maps.shape[1:]).flatten(3)  # K×V×C×n
    kinds = []
    for weights in (masks, 1 - masks):
        weight = weights.reshape(-1, views, 1, masks[0].numel())
        kinds.append((vectors * weight).sum((0, 3)) / (weight.sum((0, 3)) + 1e-8))
    return kinds[0], kinds[1]
