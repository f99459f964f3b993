import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets_prep.datasets.coco.fillpoly import fill_polygons

Point = tuple[int, int]

# What cv2.fillPoly of OpenCV 4.5.5 gives, on 12×16 pixels; some corners lie outside.
OPENCV: list[tuple[str, list[list[int]], str]] = [
    (
        "star",
        [[1, 1], [14, 3], [3, 11], [9, 0], [12, 11]],
        """
.........#......
.####...##......
..#########.....
...#####..#####.
....####..####..
.....##...##....
......##..##....
.....#######....
.....###.###....
....###...##....
....##.....##...
...#........#...
""",
    ),
    (
        "right",
        [[4, 2], [16, 3], [16, 9], [7, 11]],
        """
................
................
....######......
....############
.....###########
.....###########
.....###########
......##########
......##########
......##########
.......#######..
.......###......
""",
    ),
    (
        "corner",
        [[9, 5], [16, 7], [13, 12], [5, 12]],
        """
................
................
................
................
................
.........##.....
........######..
........########
.......#########
......#########.
......#########.
.....#########..
""",
    ),
    (
        "bottom",
        [[2, 1], [11, 12], [3, 12]],
        """
................
..#.............
..##............
..###...........
..####..........
..#####.........
..#####.........
...#####........
...######.......
...#######......
...########.....
...#########....
""",
    ),
    (
        "line",
        [[3, 3], [12, 9]],
        """
................
................
................
...#............
....##..........
......#.........
.......##.......
.........#......
..........##....
............#...
................
................
""",
    ),
    (
        "point",
        [[5, 6]],
        """
................
................
................
................
................
................
.....#..........
................
................
................
................
................
""",
    ),
    (
        "outside",
        [[-6, 4], [9, -3], [22, 8], [6, 17]],
        """
...##########...
.#############..
###############.
################
################
################
################
################
################
################
################
.###############
""",
    ),
]


@pytest.mark.parametrize(
    ("points", "expected"), [case[1:] for case in OPENCV], ids=[case[0] for case in OPENCV]
)
def test_the_pixels_are_those_of_opencv(points: list[list[int]], expected: str) -> None:
    filled = np.zeros((12, 16), np.uint8)
    fill_polygons(filled, [np.array(points)], [1])
    assert "\n".join("".join(".#"[v] for v in row) for row in filled) == expected.strip()


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 11)), min_size=1, max_size=8))
def test_inside_the_image_it_is_outline_and_even_odd_rule(points: list[Point]) -> None:
    before = np.full((12, 16), 7, np.uint8)
    filled = before.copy()
    fill_polygons(filled, [np.array(points)], [3])
    np.testing.assert_array_equal(filled, np.where(_slowly(points), 3, before))


@given(st.lists(st.tuples(st.integers(-40, 60), st.integers(-40, 60)), min_size=1, max_size=8))
def test_far_corners_write_nowhere_else(points: list[Point]) -> None:
    room = np.zeros((36, 16), np.uint8)
    fill_polygons(room[12:24], [np.array(points)], [1])
    assert not room[:12].any() and not room[24:].any()


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(-40, 60)), min_size=1, max_size=8),
    st.sampled_from([-61, 16]),
)
def test_nothing_comes_in_again_at_the_other_side(points: list[Point], beside: int) -> None:
    filled = np.zeros((12, 16), np.uint8)
    fill_polygons(filled, [np.add(points, (beside, 0))], [1])
    assert not filled.any()


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-8, 24), st.integers(-8, 20)), min_size=1, max_size=6),
        max_size=5,
    )
)
def test_several_at_once_are_as_one_after_the_other(polygons: list[list[Point]]) -> None:
    together, apart = np.zeros((2, 12, 16), np.uint8)
    corners = [np.array(points) for points in polygons]
    fill_polygons(together, corners, range(1, len(corners) + 1))
    for value, points in enumerate(corners, start=1):
        fill_polygons(apart, [points], [value])
    np.testing.assert_array_equal(together, apart)


def _slowly(points: list[Point]) -> NDArray[np.bool_]:
    """In exact arithmetic: between crossings of each row, and on the edges."""
    mask = np.zeros((12, 16), bool)
    edges = [(points[i - 1], points[i]) for i in range(len(points))]
    for y in range(12):
        crossings = sorted(
            x0 + Fraction((y - y0) * (x1 - x0), y1 - y0)
            for (x0, y0), (x1, y1) in edges
            if min(y0, y1) <= y < max(y0, y1)
        )
        for left, right in zip(crossings[0::2], crossings[1::2], strict=True):
            mask[y, math.ceil(left) : math.floor(right) + 1] = True
    for edge in edges:
        (x0, y0), (x1, y1) = sorted(edge, key=lambda point: point[0])
        across, down = x1 - x0, y1 - y0
        steps = max(across, abs(down))
        for step in range(steps + 1):
            share = Fraction(step, steps or 1)
            aside = math.ceil(min(across, abs(down)) * share - Fraction(1, 2))
            sign = 1 if down >= 0 else -1
            if abs(down) > across:
                mask[y0 + sign * step, x0 + aside] = True
            else:
                mask[y0 + sign * aside, x0 + step] = True
    return mask
