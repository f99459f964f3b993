from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from datasets_prep.datasets.coco.render import Thing, first_polygon, overlap_last, per_class
from datasets_prep.datasets.coco.segmentation import encode, run_bounds
from tests.datasets_prep.coco_fixture import IDS, annotation, box, plain_labels

HEIGHT, WIDTH = 37, 51

COORDINATE = st.floats(-3, 54, allow_nan=False).map(lambda x: round(x, 2))
POLYGON = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=9).map(
    lambda points: [value for point in points for value in point]
)
MASK = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.RandomState(seed).rand(HEIGHT, WIDTH) < seed % 97 / 96
)
OBJECT = st.lists(POLYGON, min_size=1, max_size=3) | MASK.map(lambda mask: rle(mask))
OBJECTS = st.lists(st.tuples(st.integers(0, 79), OBJECT), max_size=7)


def rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed, as COCO has it for crowds."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if flat[0] else counts}


def things(objects: list[tuple[int, Any]]) -> list[Thing]:
    return [Thing(number, index, outline) for number, (index, outline) in enumerate(objects)]


@given(OBJECTS)
def test_overlap_last_is_a_loop_of_ann_to_mask(objects: list[tuple[int, Any]]) -> None:
    plain = [annotation(n, 1, IDS[index], outline) for n, (index, outline) in enumerate(objects)]
    labels = overlap_last(things(objects), HEIGHT, WIDTH)
    assert labels.flags.c_contiguous
    np.testing.assert_array_equal(labels, plain_labels(plain, HEIGHT, WIDTH))


@given(OBJECTS)
def test_per_class_is_the_union_of_each_class(objects: list[tuple[int, Any]]) -> None:
    masks = per_class(things(objects), HEIGHT, WIDTH)
    assert list(masks) == sorted(masks)
    for index in range(80):
        own = [annotation(0, 1, IDS[index], outline) for i, outline in objects if i == index]
        expected = plain_labels(own, HEIGHT, WIDTH) > 0
        assert (index in masks) == expected.any()
        if index in masks:
            counts, area = masks[index]
            decoded = pycoco.decode({"size": [HEIGHT, WIDTH], "counts": counts})
            np.testing.assert_array_equal(decoded, expected)
            assert area == expected.sum()


def test_first_polygon_truncates_and_leaves_the_other_parts() -> None:
    objects = [(4, [box(2.9, 3.9, 8.99, 7.2), box(20, 20, 30, 30)]), (0, [box(8, 7, 12, 12)])]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:8, 2:9] = 5
    expected[7:13, 8:13] = 1
    np.testing.assert_array_equal(first_polygon(things(objects), HEIGHT, WIDTH), expected)


def test_the_modes_differ_where_objects_overlap() -> None:
    objects = [(4, [box(0, 0, 20, 20)]), (0, [box(10, 10, 30, 30)])]
    labels = overlap_last(things(objects), HEIGHT, WIDTH)
    masks = per_class(things(objects), HEIGHT, WIDTH)
    assert np.unique(labels[10:20, 10:20]).tolist() == [1]
    assert masks[4][1] == 400
    assert (labels == 5).sum() == 300


@given(st.lists(MASK, min_size=1, max_size=4))
def test_run_bounds_are_those_of_the_codes(masks: list[NDArray[np.bool_]]) -> None:
    codes = [pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"] for mask in masks]
    for mask, bounds in zip(masks, run_bounds(codes), strict=True):
        runs = np.diff(bounds, prepend=0)
        decoded = np.repeat(np.arange(len(runs)) % 2, runs).reshape(WIDTH, HEIGHT).T
        np.testing.assert_array_equal(decoded, mask)


def test_runs_of_large_images_are_read() -> None:
    mask = np.zeros((5000, 4000), np.uint8, order="F")
    mask[3000:, 2] = mask[:, 3999] = 1
    (bounds,) = run_bounds([pycoco.encode(mask)["counts"]])
    assert bounds.tolist() == [2 * 5000 + 3000, 15000, 3999 * 5000, 5000 * 4000]


def test_polygons_without_area_are_left_out_and_never_taken_for_boxes() -> None:
    assert encode([[1.0, 2.0, 3.0, 4.0]], HEIGHT, WIDTH) == []
    assert encode([], HEIGHT, WIDTH) == []
    both = encode([[1.0, 2.0, 3.0, 4.0], box(2, 2, 9, 9)], HEIGHT, WIDTH)
    assert both == encode([box(2, 2, 9, 9)], HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (None, "no list of polygons"),
        ("text", "no list of polygons"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "no list of polygons"),
        ([["1", "2", "3", "4", "5", "6"]], "no list of numbers"),
        ([[[1, 2], [3, 4], [5, 6]]], "no list of numbers"),
        ([[1.0, 2.0, 3.0, 4.0, None, 6.0]], "no list of numbers"),
        ([[1.0, 2.0, 3.0, 4.0, 5.0]], "odd number"),
        ([[1.0, 2.0, 3.0, 4.0, float("nan"), 6.0]], "far outside its image of 51×37"),
        ([[1.0, 2.0, 3.0, 4.0, float("inf"), 6.0]], "far outside"),
        ([[1.0, 2.0, 3.0, 4.0, 1e9, 6.0]], "far outside"),
        ({"size": [WIDTH, HEIGHT], "counts": [37 * 51]}, r"size \[51, 37\], its .* \[37, 51\]"),
        ({"counts": [37 * 51]}, "size None"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 6]}, "11 pixels, its image is 51×37"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, 37 * 51 + 1]}, "no numbers of pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": ["5"]}, "no numbers of pixels"),
        ({"size": [HEIGHT, WIDTH]}, "without counts"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "no compressed one"),
        ({"size": [HEIGHT, WIDTH], "counts": "\x7f0"}, "no compressed one"),
        ({"size": [HEIGHT, WIDTH], "counts": "oooooooooooooo0"}, "no compressed one"),
        ({"size": [HEIGHT, WIDTH], "counts": "5P"}, "no compressed one"),
        ({"size": [HEIGHT, WIDTH], "counts": "5O"}, "no object can have"),
        ({"size": [HEIGHT, WIDTH], "counts": "55"}, "10 pixels"),
    ],
)  # fmt: skip
def test_a_wrong_outline_is_refused(outline: Any, message: str) -> None:
    for render in (overlap_last, per_class):
        with pytest.raises(ValueError, match=f"annotation 6 has .*{message}"):
            render([Thing(6, 3, outline)], HEIGHT, WIDTH)


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30))
def test_any_text_as_rle_is_refused_or_fits(counts: str) -> None:
    try:
        (code,) = encode({"size": [3, 4], "counts": counts}, 3, 4)
    except ValueError:
        return
    assert pycoco.decode({"size": [3, 4], "counts": code}).shape == (3, 4)
