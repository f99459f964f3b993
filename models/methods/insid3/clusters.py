"""Parts of the query, and which of them make up the object."""

import torch
import torch.nn.functional as F
from torch import Tensor


def clusters(rows: Tensor, tau: float) -> Tensor:
    """Agglomerative clustering by cosine distance with average linkage.

    Args:
        rows: unit rows, N×C with N at least 2.
        tau: clusters are merged as long as their mean cosine is at least this.

    Returns:
        The number of each row's cluster from 0 on, int64 N, on the device of `rows`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distances = 1 - (rows @ rows.T).clamp(-1, 1)
    tree = linkage(squareform(distances.double().cpu().numpy(), checks=False), "average")
    labels = fcluster(tree, 1 - tau, "distance")
    return torch.from_numpy(labels).to(rows.device, torch.long) - 1


def aggregated(
    labels: Tensor,
    candidates: Tensor,
    prototype: Tensor,
    original: Tensor,
    debiased: Tensor,
    threshold: float,
) -> Tensor:
    """The seed cluster and all that belongs to it.

    The seed is the cluster with a candidate whose mean debiased direction is nearest to the
    prototype. A cluster scores its patches' mean cosine with the prototype × the cosine of its mean
    original direction with the seed's × the share of candidates in it (1 for the seed).

    Args:
        labels: cluster of each patch, N.
        candidates: bool N, at least one True.
        prototype: of the supports, debiased and of unit length, C.
        original: unit rows of the query, N×C.
        debiased: the same without their positional part.
        threshold: clusters that score more are foreground.

    Returns:
        Bool, N.
    """
    members = F.one_hot(labels).T.to(original.dtype)  # a product sums in a fixed order on any GPU
    areas = members.sum(1)
    shares = members @ candidates.to(members.dtype) / areas
    nearness = F.normalize(members @ debiased, dim=1) @ prototype
    seed = int(nearness.masked_fill(shares == 0, -torch.inf).argmax())
    shares[seed] = 1
    means = F.normalize(members @ original, dim=1)
    across = members @ (debiased @ prototype) / areas
    return (across * (means @ means[seed]) * shares > threshold)[labels]
