"""Outlines as signed distance fields, drawn once from discs and polygons.

Everything here is a comparison of elementwise sums and products, or integer arithmetic: no
function whose last bit depends on the machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

CELLS = 256
SPAN = 1.25  # the field covers [-SPAN, SPAN]²; outlines stay within the unit square
_CELL = 2 * SPAN / CELLS
_AXIS = (np.arange(CELLS) + 0.5) * _CELL - SPAN
_X, _Y = _AXIS[None, :], _AXIS[:, None]  # y points down

Region = NDArray[np.bool_]
Point = tuple[float, float]


@dataclass(frozen=True)
class Outline:
    """A silhouette.

    Attributes:
        distance: CELLS×CELLS distances to the edge, positive inside, in units of the silhouette.
        area: of the silhouette, in units squared.
        reach: its farthest point from the centre, in units.
    """

    distance: NDArray[np.float32]
    area: float
    reach: float


@cache
def outline(name: str) -> Outline:
    """The silhouette or piece of clutter called `name`."""
    region = (SILHOUETTES | CLUTTER)[name]()
    inside, outside = _squared_distance(~region), _squared_distance(region)
    cells = np.where(region, np.sqrt(inside) - 0.5, 0.5 - np.sqrt(outside))
    return Outline(
        distance=(cells * _CELL).astype(np.float32),
        area=int(np.count_nonzero(region)) * _CELL * _CELL,
        reach=float(np.sqrt((_X * _X + _Y * _Y)[region].max())),
    )


def _squared_distance(target: Region) -> NDArray[np.int32]:
    """Squared distance, in cells, from every cell to the nearest cell of `target`; exact."""
    steps = np.arange(CELLS, dtype=np.int32)
    far = np.int32(4 * CELLS)
    before = np.maximum.accumulate(np.where(target, steps, -far), axis=1)
    after = np.minimum.accumulate(np.where(target, steps, far)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(steps - before, after - steps) ** 2  # within each row
    squares = (steps[:, None] - steps) ** 2
    return np.stack([(along + square[:, None]).min(axis=0) for square in squares])


def _disc(x: float, y: float, radius: float, stretch: float = 1.0) -> Region:
    """A disc, `stretch` times as wide as it is high."""
    across, down = (_X - x) / stretch, _Y - y
    region: Region = across * across + down * down <= radius * radius
    return region


def _box(left: float, top: float, right: float, bottom: float) -> Region:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _polygon(*points: Point) -> Region:
    """The inside of a closed polygon by the even-odd rule."""
    inside: Region = np.zeros((CELLS, CELLS), dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        if y1 != y2:
            crossing = ((y1 > _Y) != (y2 > _Y)) & ((x2 - x1) / (y2 - y1) * (_Y - y1) + x1 > _X)
            inside ^= crossing
    return inside


def _mirrored(*points: Point) -> tuple[Point, ...]:
    """Points of the right half from top to bottom, completed by their mirror images."""
    return points + tuple((-x, y) for x, y in reversed(points))


def _star() -> Region:
    return _polygon(
        *_mirrored((0.0, -0.95), (0.24, -0.3), (0.92, -0.28), (0.38, 0.14), (0.58, 0.8), (0.0, 0.4))
    )


def _crescent() -> Region:
    return _disc(0.05, 0.0, 0.92) & ~_disc(0.45, -0.1, 0.74)


def _cross() -> Region:
    return _box(-0.28, -0.92, 0.28, 0.92) | _box(-0.92, -0.28, 0.92, 0.28)


def _arrow() -> Region:
    return _polygon(*_mirrored((0.0, -0.95), (0.72, -0.12), (0.26, -0.12), (0.26, 0.92)))


def _heart() -> Region:
    lobes = _disc(-0.42, -0.36, 0.46) | _disc(0.42, -0.36, 0.46)
    return lobes | _polygon(*_mirrored((0.0, -0.36), (0.8, -0.1), (0.0, 0.9)))


def _bolt() -> Region:
    return _polygon(
        (0.2, -0.95), (-0.6, 0.16), (-0.1, 0.16), (-0.3, 0.95), (0.62, -0.26), (0.1, -0.26),
        (0.56, -0.95),
    )  # fmt: skip


def _ring() -> Region:
    return _disc(0.0, 0.0, 0.92) & ~_disc(0.0, 0.0, 0.5)


def _gear() -> Region:
    diagonal = np.abs(_X + _Y), np.abs(_X - _Y)
    reach, width = 0.92 * 1.4142, 0.17 * 1.4142
    teeth = _box(-0.17, -0.92, 0.17, 0.92) | _box(-0.92, -0.17, 0.92, 0.17)
    for a, b in (diagonal, diagonal[::-1]):
        teeth = teeth | ((a <= width) & (b <= reach))
    return (_disc(0.0, 0.0, 0.66) | teeth) & ~_disc(0.0, 0.0, 0.26)


def _bracket() -> Region:
    return _box(-0.75, -0.9, -0.2, 0.9) | _box(-0.75, 0.35, 0.8, 0.9)


def _triangle() -> Region:
    return _polygon((0.0, -0.88), (0.95, 0.76), (-0.95, 0.76))


def _drop() -> Region:
    return _disc(0.0, 0.35, 0.58) | _polygon(*_mirrored((0.0, -0.95), (0.5, 0.06), (0.0, 0.4)))


def _hourglass() -> Region:
    return _polygon(*_mirrored((0.0, -0.92), (0.7, -0.92), (0.1, 0.0), (0.7, 0.92), (0.0, 0.92)))


def _chevron() -> Region:
    return _polygon(*_mirrored((0.0, -0.75), (0.9, 0.15), (0.9, 0.8), (0.0, -0.1)))


def _clover() -> Region:
    leaves = _disc(0.0, -0.5, 0.42) | _disc(-0.48, 0.1, 0.42) | _disc(0.48, 0.1, 0.42)
    return leaves | _box(-0.12, -0.2, 0.12, 0.94) | _disc(0.0, -0.08, 0.25)


def _fish() -> Region:
    tail = _polygon((0.3, 0.0), (0.95, -0.55), (0.78, 0.0), (0.95, 0.55))
    return (_disc(-0.22, 0.0, 0.46, 1.55) | tail) & ~_disc(-0.6, -0.1, 0.1)


def _house() -> Region:
    walls = _box(-0.68, -0.1, 0.68, 0.88) & ~_box(-0.18, 0.25, 0.18, 0.88)
    roof = _polygon((0.0, -0.92), (0.94, -0.06), (-0.94, -0.06))
    return walls | roof | _box(0.36, -0.85, 0.62, -0.2)


def _key() -> Region:
    bow = _disc(-0.5, 0.0, 0.44) & ~_disc(-0.5, 0.0, 0.17)
    bits = _box(0.42, 0.0, 0.6, 0.42) | _box(0.74, 0.0, 0.93, 0.5)
    return bow | _box(-0.12, -0.14, 0.93, 0.14) | bits


def _frame() -> Region:
    return _box(-0.82, -0.82, 0.82, 0.82) & ~_box(-0.44, -0.44, 0.44, 0.44)


def _pie() -> Region:
    return _disc(0.0, 0.0, 0.9) & ~_polygon((0.05, 0.0), (1.0, -0.8), (1.2, 0.0), (1.0, 0.8))


def _mushroom() -> Region:
    cap = _disc(0.0, 0.1, 0.95) & _box(-1.0, -1.0, 1.0, 0.1)
    return cap | _polygon(*_mirrored((0.0, 0.0), (0.24, 0.0), (0.34, 0.9), (0.0, 0.9)))


def _stick() -> Region:
    return _box(-0.95, -0.15, 0.95, 0.15)


def _blob() -> Region:
    return _disc(-0.35, 0.1, 0.55) | _disc(0.3, -0.25, 0.5) | _disc(0.35, 0.35, 0.4)


def _slab() -> Region:
    return _polygon((-0.8, -0.5), (0.6, -0.8), (0.9, 0.45), (-0.55, 0.8))


def _pebble() -> Region:
    return _disc(0.0, 0.0, 0.65, 1.4)


SILHOUETTES: dict[str, Callable[[], Region]] = {
    "star": _star, "crescent": _crescent, "cross": _cross, "arrow": _arrow, "heart": _heart,
    "bolt": _bolt, "ring": _ring, "gear": _gear, "bracket": _bracket, "triangle": _triangle,
    "drop": _drop, "hourglass": _hourglass, "chevron": _chevron, "clover": _clover,
    "fish": _fish, "house": _house, "key": _key, "frame": _frame, "pie": _pie,
    "mushroom": _mushroom,
}  # fmt: skip
CLUTTER: dict[str, Callable[[], Region]] = {
    "stick": _stick, "blob": _blob, "slab": _slab, "pebble": _pebble,
}  # fmt: skip
