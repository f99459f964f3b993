"""The earth mover's distance between uniform distributions, exactly."""

import numpy as np
from numpy.typing import NDArray

# The usual limit of 100,000 pivots ends before the best plan: at 6845×1369 (five supports of
# foreground alone) 1.2e-3 above it. This one is never met; it only bounds a search that fails.
_PIVOTS = 100_000_000


def earth_movers_distance(cost: NDArray[np.float64]) -> float:
    """The least mean cost at which uniform mass on the rows moves to uniform mass on the columns.

    By the network simplex of Bonneel et al. (SIGGRAPH Asia 2011) in POT, as Matcher's authors.

    Args:
        cost: R×C.
    """
    import ot

    return float(ot.emd2([], [], cost, numItermax=_PIVOTS))
