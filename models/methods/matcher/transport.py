"""The earth mover's distance between uniform distributions, exactly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEAR = 16  # pairs per row and column with which the linear program begins and grows
_ROUNDING = 1e-9


def earth_movers_distance(cost: NDArray[np.float64]) -> float:
    """The least mean cost at which uniform mass on the rows moves to uniform mass on the columns.

    The transport problem's linear program over few pairs (the cheapest, and a plan that is always
    possible) is solved, pairs are added that its prices say would lower the cost, and so on until
    there are none: then the plan is the best of all. A program over all pairs takes far longer.

    Args:
        cost: R×C.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    rows, columns = cost.shape
    mass = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
    used = _staircase(rows, columns) | _least(cost)
    while True:
        i, j = np.nonzero(used)
        pair = np.arange(len(i))
        places = (np.concatenate([i, rows + j]), np.concatenate([pair, pair]))
        sums = csr_array((np.ones(2 * len(i)), places), shape=(rows + columns, len(i)))
        plan: Any = linprog(cost[i, j], A_eq=sums, b_eq=mass, method="highs")
        prices = plan.eqlin.marginals
        reduced = cost - prices[:rows, None] - prices[rows:]
        better = reduced < -_ROUNDING
        better[i, j] = False
        if not better.any():
            return float(plan.fun)
        used |= better & _least(reduced)


def _staircase(rows: int, columns: int) -> NDArray[np.bool_]:
    """The pairs that a plan uses which moves mass in order, the "north-west corner" plan."""
    starts = np.union1d(np.arange(rows) * columns, np.arange(columns) * rows)
    used = np.zeros((rows, columns), dtype=bool)
    used[starts // columns, starts // rows] = True
    return used


def _least(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The least few of each row and of each column."""
    least = np.zeros(values.shape, dtype=bool)
    for axis in (0, 1):
        count = min(_NEAR, values.shape[axis])
        order = np.argpartition(values, count - 1, axis=axis)
        np.put_along_axis(least, order.take(range(count), axis=axis), True, axis=axis)
    return least
