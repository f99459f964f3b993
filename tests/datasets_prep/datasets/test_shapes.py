import ast
import hashlib
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, rotate

import datasets_prep.datasets.shapes
from datasets_prep.datasets.shapes import Shapes, builder
from datasets_prep.datasets.shapes.dice import Dice
from datasets_prep.datasets.shapes.outlines import CELLS, CLUTTER, SILHOUETTES, SPAN, outline
from datasets_prep.datasets.shapes.paint import noise, rgb
from datasets_prep.datasets.shapes.scene import CLASSES, LOOKS, SIZE, render
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [render(1, 1, index, first=index % 20) for index in range(100)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "IMAGES", {"train": 20, "test": 40})
        root = tmp_path_factory.mktemp("data")
        return prepare(Shapes(Shapes.Options()), PrepareOptions(root, shots=(1,)))


# The same bits everywhere


def test_scenes_are_what_they_always_were(scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    assert (
        sha256(*(pixels for pixels, _ in scenes))
        == "ff105a3c8fd5f4875163ef01fc3d414a4634ddf7d5c3a72ea886ed27643ec931"
    )
    assert (
        sha256(*(labels for _, labels in scenes))
        == "acccf577d52521183505433e36940159fd63d0ef70835a4dab2e0b182e380c1a"
    )


def test_an_image_depends_on_its_seed_alone(scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    np.random.seed(7)
    for index in (41, 3, 41):
        pixels, labels = render(1, 1, index, first=index % 20)
        assert np.array_equal(pixels, scenes[index][0])
        assert np.array_equal(labels, scenes[index][1])
    assert len({sha256(pixels) for pixels, _ in scenes}) == len(scenes)


# Each is a correctly rounded elementwise operation, a comparison, an integer operation, or moves
# values about. Sines, powers, sums and matrix products round differently from machine to machine.
EXACT = {
    "abs", "arange", "array", "ascontiguousarray", "bool_", "clip", "concatenate",
    "count_nonzero", "flatnonzero", "float32", "floating", "floor", "int32",
    "maximum", "minimum", "sqrt", "stack", "uint8", "where", "zeros",
}  # fmt: skip
INEXACT = {
    "sum",
    "mean",
    "dot",
    "prod",
    "std",
    "var",
    "cumsum",
    "uniform",
    "normal",
    "rand",
    "randn",
}


def test_the_renderer_uses_exact_operations_only() -> None:
    for path in Path(datasets_prep.datasets.shapes.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "math", path
                if node.value.id == "np":
                    assert node.attr in EXACT, (path.name, node.attr)
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in INEXACT, (path.name, name)
            if isinstance(node, ast.BinOp):
                assert not isinstance(node.op, ast.MatMult), path.name
                if isinstance(node.op, ast.Pow):
                    assert isinstance(node.right, ast.Constant) and node.right.value == 2


def test_dice_stay_within_their_bounds() -> None:
    dice, again = Dice(5, 6), Dice(5, 6)
    for _ in range(500):
        number = dice.between(-2.0, 3.0)
        assert -2.0 <= number < 3.0 and number == again.between(-2.0, 3.0)
    assert Counter(dice.below(3) for _ in range(3000)).keys() == {0, 1, 2}
    for _ in range(200):
        cosine, sine = dice.turn(0.5)
        assert abs(cosine * cosine + sine * sine - 1) < 1e-12
        assert cosine >= 0.6 - 1e-12  # the tangent of half the angle is at most a half
        assert 0.5 <= dice.around(1.0, 0.5) <= 1.5
    assert Dice(5, 6).between(0, 1) != Dice(6, 5).between(0, 1)


# Outlines


@pytest.mark.parametrize("name", [*SILHOUETTES, *CLUTTER])
def test_distances_are_those_of_scipy_and_outlines_keep_off_the_border(name: str) -> None:
    region = (SILHOUETTES | CLUTTER)[name]()
    shape = outline(name)
    cell = 2 * SPAN / CELLS
    inside = distance_transform_edt(region) - 0.5
    outside = 0.5 - distance_transform_edt(~region)
    assert np.allclose(shape.distance, np.where(region, inside, outside) * cell, atol=1e-12)
    assert np.array_equal(shape.distance > 0, region)
    assert shape.area == pytest.approx(region.mean() * (2 * SPAN) ** 2)
    border = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    assert not border.any()
    assert shape.reach < SPAN


def test_silhouettes_differ_however_they_are_turned() -> None:
    """Of equal area, the best overlap of any two over all turns and flips stays below 0.85."""

    def scaled(name: str) -> np.ndarray:
        """The silhouette at area 1 on a 64×64 grid over [-1.25, 1.25]²."""
        shape = outline(name)
        axis = (np.arange(64) + 0.5) / 64 * 2.5 - 1.25
        index = ((axis * np.sqrt(shape.area) + SPAN) / (2 * SPAN) * CELLS).astype(int)
        index = np.clip(index, 0, CELLS - 1)
        return (shape.distance > 0)[np.ix_(index, index)]

    turned = {}
    for name in SILHOUETTES:
        base = scaled(name).astype(float)
        turned[name] = np.array(
            [
                rotate(form, angle, reshape=False, order=1).ravel() > 0.5
                for form in (base, base[:, ::-1])
                for angle in range(0, 360, 15)
            ]
        )
    for one, other in itertools.combinations(SILHOUETTES, 2):
        first = turned[one][0]
        common = (turned[other] & first).sum(axis=1)
        every = (turned[other] | first).sum(axis=1)
        assert (common / every).max() < 0.85, (one, other)


# Surfaces


def test_noise_repeats_and_meets_its_knots() -> None:
    knots = np.arange(12.0).reshape(3, 4) / 12
    field = noise(knots, 8)
    assert field.shape == (24, 32)
    assert field.min() >= 0 and field.max() < 1
    # Beside a knot, the field is near it; across the seam it is as smooth as elsewhere.
    assert np.allclose(field[::8, ::8], knots, atol=0.05)
    steps = np.abs(np.diff(np.concatenate([field, field[:, :1]], axis=1), axis=1))
    assert steps[:, -1].max() <= steps.max()
    assert steps.max() < 0.2


def test_colours_are_those_of_the_colour_circle() -> None:
    assert rgb(0.0, 1.0, 1.0) == (1.0, 0.0, 0.0)
    assert rgb(1 / 3, 1.0, 0.5) == pytest.approx((0.0, 0.5, 0.0))
    assert rgb(-1 / 3, 0.5, 1.0) == pytest.approx((0.5, 0.5, 1.0))
    assert rgb(0.7, 0.0, 0.25) == (0.25, 0.25, 0.25)


# Scenes


def test_scenes_hold_objects_of_many_sizes_before_a_background(
    scenes: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for pixels, labels in scenes:
        assert pixels.shape == (SIZE, SIZE, 3) and labels.shape == (SIZE, SIZE)
        assert pixels.dtype == labels.dtype == np.uint8
        assert labels.max() <= 20
        assert pixels.std() > 8
    foreground = np.array([(labels > 0).mean() for _, labels in scenes])
    assert 0.1 < foreground.mean() < 0.4
    counts = Counter(int(v) for _, labels in scenes for v in np.unique(labels) if v)
    assert len(counts) == 20 and min(counts.values()) >= 4
    areas = [int(n) for _, labels in scenes for n in np.unique(labels, return_counts=True)[1][1:]]
    assert np.quantile(areas, 0.9) > 3 * np.quantile(areas, 0.1)


def test_most_scenes_show_the_class_they_were_made_for(
    scenes: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    shown = [
        (labels == index % 20 + 1).sum() >= builder.MIN_AREA
        for index, (_, labels) in enumerate(scenes)
    ]
    assert np.mean(shown) > 0.9


def test_colour_alone_does_not_tell_the_classes(
    scenes: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """A class's mean colour is nearer to its own than chance, but far from always nearest."""
    colours = [
        (int(v), pixels[labels == v].mean(axis=0))
        for pixels, labels in scenes
        for v in np.unique(labels)
        if v
    ]
    right = 0
    for i, (value, colour) in enumerate(colours):
        others = colours[:i] + colours[i + 1 :]
        distances = [float(np.abs(colour - other).sum()) for _, other in others]
        right += others[int(np.argmin(distances))][0] == value
    assert 0.08 < right / len(colours) < 0.6


def test_classes_of_a_fold_differ_in_look() -> None:
    for fold in range(4):
        looks = [LOOKS[name] for name in CLASSES[fold::4]]
        assert len({look.pattern for look in looks}) >= 3
        hues = [look.hue for look in looks]
        assert all(
            min(abs(a - b), 1 - abs(a - b)) >= 0.02 for a, b in itertools.combinations(hues, 2)
        )


# The dataset


def test_pairs_are_what_can_be_seen(small: PreparedDataset) -> None:
    assert small.classes == tuple(SILHOUETTES) == CLASSES
    folds = small.folds
    assert [fold.novel for fold in folds.folds] == [tuple(range(f, 20, 4)) for f in range(4)]
    for fold in folds.folds:
        assert all(image.startswith("test_") for image, _ in fold.test)
        assert all(image.startswith("train_") for image, _ in fold.train)
    every = {pair for fold in folds.folds for pair in fold.test + fold.train}
    for image in small.image_ids:
        labels = small.labels(image)
        for index in range(20):
            seen = int((labels == index + 1).sum())
            assert ((image, index) in every) == (seen >= builder.MIN_AREA)


def test_processes_change_no_bit(small: PreparedDataset, monkeypatch: pytest.MonkeyPatch,
                                 tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setattr(builder, "IMAGES", {"train": 20, "test": 40})
    again = prepare(Shapes(Shapes.Options()), PrepareOptions(tmp_path, jobs=2, shots=(1,)))
    assert again.digest == small.digest
    assert again.manifest == small.manifest


def test_pixels_come_back_and_name_themselves(small: PreparedDataset) -> None:
    pixels, labels = render(1, 1, 7, first=7)
    assert np.array_equal(np.asarray(small.image("test_0007")), pixels)
    assert np.array_equal(small.labels("test_0007"), labels)
