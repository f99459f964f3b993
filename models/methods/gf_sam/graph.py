"""The graph of points: one leads to another if its mask covers it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def clusters(covers: Tensor) -> Tensor:
    """Weakly connected components.

    Args:
        covers: bool P×P, whether the mask of point i covers point j.

    Returns:
        The number of each point's cluster from 0 on, int64 P.
    """
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(covers.cpu().numpy(), directed=True, connection="weak")
    return torch.from_numpy(labels).to(covers.device, torch.long)


def coarse(masks: Tensor, side: int) -> Tensor:
    """Bool P×H×W masks stretched bilinearly (no antialiasing) to the patches: P×side² in 0..1.

    One at a time, in one buffer: as floats all would take gigabytes.
    """
    buffer = torch.empty(1, 1, *masks.shape[1:], device=masks.device)
    stretched = [
        F.interpolate(buffer.copy_(mask), (side, side), mode="bilinear", align_corners=False)
        for mask in masks
    ]
    return torch.cat(stretched).flatten(1)


def unions(masks: Tensor, labels: Tensor) -> Tensor:
    """The union of each cluster's masks: bool K×H×W."""
    united = masks.new_zeros(int(labels.max()) + 1, *masks.shape[1:])
    # In place, which spares a copy of all masks.
    for mask, label in zip(masks, labels.tolist(), strict=True):
        united[label] |= mask
    return united


def consistent(places: Tensor, labels: Tensor, resemblance: Tensor) -> Tensor:
    """Which points belong to their cluster.

    A point is for the cluster that it resembles most for its distance to the nearest of that
    cluster's points. Where less than half of a cluster's points are for it, none of them counts.

    Args:
        places: of the points, in patches, P×2.
        labels: cluster of each, P.
        resemblance: mean cosine of each point with the union of each cluster, K×P.

    Returns:
        Bool, P.
    """
    distances = torch.cdist(places.double(), places.double())
    nearest = torch.stack([distances[labels == k].amin(0) for k in range(len(resemblance))])
    nearest[nearest == 0] = 1
    own = (resemblance / nearest.to(resemblance.dtype)).argmax(0) == labels
    shares = torch.stack([own[labels == k].double().mean() for k in range(len(resemblance))])
    return own & (shares >= 0.5)[labels]
