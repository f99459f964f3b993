"""Geometries: what reaches the grid, and that scores come back to where they were."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.geometry import Geometry, LongestSide, Native, Squash, SquashAs, nearest, stretch

sides = st.integers(1, 90)
sizes = st.tuples(sides, sides)
geometries = st.sampled_from(
    [Squash(32), Squash(45), LongestSide(48), Native(16), Native(14, scale=2.0)]
)


def labels(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    values = np.array([0, 1, 7, 255], dtype=np.uint8)
    return np.random.default_rng(seed).choice(values, size)


@given(sizes, sizes)
def test_nearest_is_the_rounding_of_interpolate(size: tuple[int, int], target: tuple[int, int]):
    mask = torch.from_numpy(labels(size))
    expected = F.interpolate(mask[None, None], size=target, mode="nearest")[0, 0]
    assert torch.equal(nearest(mask, target), expected)


def test_nearest_takes_the_floor_of_the_scaled_index():
    mask = torch.tensor([[1, 2, 3, 4, 5]], dtype=torch.uint8)
    assert nearest(mask, (1, 3)).tolist() == [[1, 2, 4]]
    assert nearest(mask, (2, 10)).tolist() == [[1, 1, 2, 2, 3, 3, 4, 4, 5, 5]] * 2


def test_stretch_puts_pixel_centres_at_halves():
    assert stretch(torch.tensor([[[0.0, 4.0]]]), (1, 4)).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]


@given(geometries, sizes)
def test_image_and_mask_fill_the_grid_that_is_announced(geometry: Geometry, size: tuple[int, int]):
    grid = geometry.grid(size)
    image = geometry.image(Image.new("RGB", (size[1], size[0])))
    mask = geometry.mask(labels(size))
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, *grid))
    assert (mask.dtype, tuple(mask.shape)) == (torch.uint8, grid)
    assert set(mask.unique().tolist()) <= {0, 1, 7, 255}


@given(geometries, sizes, sizes)
def test_scores_of_the_whole_image_come_back_whole(
    geometry: Geometry, size: tuple[int, int], target: tuple[int, int]
):
    """Padding, which a mask leaves at 0, never reaches the evaluation grid."""
    inside = geometry.mask(np.ones(size, dtype=np.uint8)).float()[None]
    back = geometry.scores(inside, size, target)
    assert tuple(back.shape) == (1, *target)
    assert back.min() > 0.999


@pytest.mark.parametrize(
    "geometry", [Squash(64), LongestSide(64), Native(16), Native(8, scale=0.5)]
)
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (50, 50), (31, 97)])
def test_a_mask_survives_the_way_there_and_back(geometry: Geometry, size: tuple[int, int]):
    """Every edge comes back within a pixel of the grid and one of the image."""
    truth = np.zeros(size, dtype=np.uint8)
    top, left = size[0] // 3, size[1] // 4
    truth[top:, left:] = 1
    scores = geometry.mask(truth).float()[None] - 0.5
    back = geometry.scores(scores, size, size)[0] > 0
    grid = geometry.grid(size)
    if isinstance(geometry, LongestSide):
        grid = geometry.content(size)
    first_row, first_column = back[:, -1].int().argmax().item(), back[-1].int().argmax().item()
    assert abs(first_row - top) <= 1 + size[0] / grid[0]
    assert abs(first_column - left) <= 1 + size[1] / grid[1]


def test_squash_resizes_with_pils_filter():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    for name, resample in (
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ):
        expected = np.array(picture.resize((16, 16), resample))
        got = Squash(16, filter=name).image(picture).permute(1, 2, 0).numpy()
        assert np.array_equal(got, expected)


def test_grey_and_palette_images_become_rgb():
    grey = Squash(4).image(Image.new("L", (4, 4), 9))
    assert grey.unique().tolist() == [9]


def test_longest_side_pads_bottom_and_right_with_the_fill():
    geometry = LongestSide(8, pad=(0.5, 0.0, 1.0))
    image = geometry.image(Image.new("RGB", (16, 8), (10, 20, 30)))
    assert geometry.content((8, 16)) == (4, 8)
    assert image[:, 0, 0].tolist() == [10, 20, 30]
    assert image[:, 3, 7].tolist() == [10, 20, 30]
    assert image[:, 4, 0].tolist() == [128, 0, 255]


def test_longest_side_cuts_the_padding_off_coarse_scores():
    """SAM's low-resolution masks cover the padded square at a quarter of its side."""
    scores = torch.zeros(1, 4, 4)
    scores[:, :2] = 1
    assert LongestSide(16).scores(scores, (30, 60), (30, 60)).min() > 0.999


@given(sizes)
def test_native_stays_within_half_a_multiple(size: tuple[int, int]):
    for side, on_grid in zip(size, Native(16).grid(size), strict=True):
        assert on_grid % 16 == 0
        assert abs(on_grid - side) <= 8 or (side < 8 and on_grid == 16)


def test_native_leaves_fitting_images_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    geometry = Native(16)
    assert np.array_equal(geometry.image(Image.fromarray(pixels)).permute(1, 2, 0), pixels)
    scores = torch.randn(2, 32, 48)
    assert torch.equal(geometry.scores(scores, (32, 48), (32, 48)), scores)


def test_geometries_with_equal_settings_are_equal():
    """The evaluator keys its cache by them."""
    assert Squash(8) == Squash(8) and hash(Squash(8)) == hash(Squash(8))
    assert Native(16) != Native(16, scale=2.0)


def test_masks_are_squashed_as_the_authors_do() -> None:
    mask = np.zeros((40, 37), dtype=np.uint8)
    mask[3:20, 5:21] = 1
    pil = np.array(Image.fromarray(mask).resize((16, 16), Image.Resampling.NEAREST))
    assert np.array_equal(SquashAs(16, masks="pil").mask(mask).numpy(), pil)
    # Pixels of the grid that the box covers by half or more, from their exact shares.
    rows, columns = (
        np.array([_cover(start, end, side, 16, i) for i in range(16)])
        for start, end, side in ((3, 20, 40), (5, 21, 37))
    )
    share = np.outer(rows, columns)
    half = SquashAs(16, masks="half").mask(mask).numpy()
    sure = np.abs(share - 0.5) > 0.15  # the filter is a triangle, and not a box
    assert np.array_equal(half[sure], share[sure] > 0.5)
    assert set(np.unique(half)) == {0, 1}
    assert SquashAs(16).mask(mask).equal(Squash(16).mask(mask))


def _cover(start: int, end: int, side: int, grid: int, index: int) -> float:
    """The share of a pixel of the grid that lies between start and end of a side."""
    step = side / grid
    return max(0.0, min(end, (index + 1) * step) - max(start, index * step)) / step


def test_scores_come_back_as_the_authors_stretch_them() -> None:
    scores = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
    rows, columns = torch.linspace(0, 1, 5), torch.linspace(0, 1, 3)
    corners = SquashAs(2, back="corners").scores(scores, (9, 9), (5, 3))
    torch.testing.assert_close(corners[0], 2 * rows[:, None] + columns)
    blocks = SquashAs(2, back="nearest").scores(scores, (9, 9), (4, 4))
    assert torch.equal(blocks[0], scores[0].repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert torch.equal(
        SquashAs(2).scores(scores, (9, 9), (4, 4)), Squash(2).scores(scores, (9, 9), (4, 4))
    )
