"""Point prompts drawn from the matched points, the same for the same seed."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.methods.matcher.settings import Settings

_FEW = 8  # of so few points every subset is a prompt
_STEPS = 100


def prompts(points: NDArray[np.int64], settings: Settings, seed: int) -> list[NDArray[np.int64]]:
    """Sets of points to prompt SAM with.

    Args:
        points: the matched points' (x, y), P×2.
        settings: which sizes, how many, and whether of points or of their centres.
        seed: fixes centres and draws.

    Returns:
        Per size n, from the least to the greatest, the prompts: S×n×2.
    """
    generator = np.random.default_rng(seed)
    if settings.centres:
        points = kmeans(points, min(settings.centres, len(points)), generator)
    least, most = (min(size, len(points)) for size in settings.sizes)
    drawn = []
    for size in range(least, most + 1):
        if len(points) > _FEW:
            order = generator.random((settings.samples, len(points))).argsort(axis=1)
            drawn.append(points[order[:, :size]])
        else:
            drawn.append(points[list(combinations(range(len(points)), size))])
    return drawn


def kmeans(
    points: NDArray[np.int64], count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Centres of the points by k-means, begun by k-means++ (Arthur and Vassilvitskii, 2007).

    Args:
        points: different ones, P×2.
        count: of centres, at most P.
        generator: draws the first centres.

    Returns:
        count×2, rounded down.
    """
    centres = points[[generator.integers(len(points))]].astype(np.float64)
    while len(centres) < count:
        squares = _squares(points, centres).min(axis=1)
        chosen = generator.choice(len(points), p=squares / squares.sum())
        centres = np.concatenate([centres, points[[chosen]]])
    for _ in range(_STEPS):
        nearest = _squares(points, centres).argmin(axis=1)
        moved = centres.copy()  # a centre that is nearest to nothing stays
        for index in np.unique(nearest):
            moved[index] = points[nearest == index].mean(axis=0)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres.astype(np.int64)


def _squares(points: NDArray[np.int64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of each point from each centre."""
    squares: NDArray[np.float64] = ((points[:, None] - centres) ** 2).sum(axis=2)
    return squares
