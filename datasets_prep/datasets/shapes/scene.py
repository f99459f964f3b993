"""One image: a cluttered ground, one to four objects, and things in front of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.shapes.dice import Dice
from datasets_prep.datasets.shapes.outlines import CELLS, CLUTTER, SPAN, Outline, outline
from datasets_prep.datasets.shapes.paint import GRAIN, Array, Look, Surface, ground, noise, surface

SIZE = 128
MOST_OBJECTS = 4
TYPICAL = 0.85  # how often a class looks as it tends to
SHADOW = 4.0  # pixels that a shadow reaches beyond an edge

# Order matters: a fold's novel classes are every fourth, and should differ in all respects.
LOOKS: dict[str, Look] = {
    "star": Look(0.14, "grain"),
    "crescent": Look(0.62, "stripes"),
    "cross": Look(0.02, "checks"),
    "arrow": Look(0.50, "dots"),
    "heart": Look(0.95, "dots"),
    "bolt": Look(0.18, "stripes"),
    "ring": Look(0.11, "grain"),
    "gear": Look(0.58, "checks"),
    "bracket": Look(0.75, "checks"),
    "triangle": Look(0.40, "stripes"),
    "drop": Look(0.54, "grain"),
    "hourglass": Look(0.08, "dots"),
    "chevron": Look(0.85, "stripes"),
    "clover": Look(0.34, "grain"),
    "fish": Look(0.05, "stripes"),
    "house": Look(0.00, "checks"),
    "key": Look(0.22, "dots"),
    "frame": Look(0.08, "checks"),
    "pie": Look(0.68, "dots"),
    "mushroom": Look(0.98, "grain"),
}
CLASSES = tuple(LOOKS)

_PIXELS = np.arange(SIZE, dtype=np.float32) + 0.5  # their centres


@dataclass(frozen=True)
class Placement:
    """Where one thing lies.

    Attributes:
        outline: its silhouette.
        x: its centre, in pixels from the left.
        y: its centre, in pixels from the top.
        unit: its size, in pixels per unit of the outline.
        cosine: of the angle that it is turned by.
        sine: of that angle.
        flip: whether it is mirrored before it is turned.
    """

    outline: Outline
    x: float
    y: float
    unit: float
    cosine: float
    sine: float
    flip: bool


class Canvas:
    """The picture and its label map while things are painted on them, back to front."""

    def __init__(self, dice: Dice) -> None:
        self.pixels = np.zeros((3, SIZE * SIZE), dtype=np.float32)
        self.labels = np.zeros(SIZE * SIZE, dtype=np.uint8)
        self.grain = noise(dice.field(16, 16), GRAIN // 16)

    def paint(self, place: Placement, skin: Surface, label: int, rim: float, shadow: float) -> None:
        """Paint one thing over what is there; `label` 0 is background.

        `rim` darkens its edge and `shadow` the ground around it, both 0..1.
        """
        reach = place.unit * place.outline.reach + SHADOW
        columns, rows = _span(place.x, reach)[None, :], _span(place.y, reach)[:, None]
        across = _PIXELS[columns] - place.x
        down = _PIXELS[rows] - place.y
        u = across * place.cosine + down * place.sine
        v = down * place.cosine - across * place.sine
        depth = _distance(place.outline, -u if place.flip else u, v, place.unit)
        near = np.flatnonzero(depth > -SHADOW)
        u, v, depth = u.ravel()[near], v.ravel()[near], depth.ravel()[near]
        where = (rows * SIZE + columns).ravel()[near]
        cover = np.clip(depth + 0.5, 0.0, 1.0)
        shade = (1.0 - rim * np.clip(1.0 - depth / 3.0, 0.0, 1.0)) * cover
        keep = (1.0 - shadow * np.clip(1.0 + depth / SHADOW, 0.0, 1.0)) * (1.0 - cover)
        colours = skin.colours(u, v, self.grain)
        self.pixels[:, where] = self.pixels[:, where] * keep + colours * shade
        self.labels[where[depth > 0]] = label


def _span(centre: float, reach: float) -> NDArray[np.int32]:
    """Indices of the pixels within `reach` of `centre`, along one side of the picture."""
    first, last = int(max(0.0, centre - reach)), int(min(float(SIZE), centre + reach + 1.0))
    return np.arange(first, last, dtype=np.int32)


def _distance(shape: Outline, u: Array, v: Array, unit: float) -> Array:
    """Distances to the edge in pixels, from the nearest cell of the outline's field."""
    scale, middle, last = CELLS / (2 * SPAN * unit), CELLS / 2, CELLS - 1
    column = (u * scale + middle).astype(np.int32)
    row = (v * scale + middle).astype(np.int32)
    np.clip(column, 0, last, out=column)
    np.clip(row, 0, last, out=row)
    distance: Array = shape.distance[row, column] * unit
    return distance


def render(*seed: int, first: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a scene.

    Args:
        seed: names the image; equal seeds give equal bits.
        first: class index that the scene surely holds (though it may be hidden).

    Returns:
        RGB, SIZE×SIZE×3, and labels, SIZE×SIZE: 0 background, i+1 class i.
    """
    dice = Dice(*seed)
    canvas = Canvas(dice)
    _backdrop(canvas, dice)
    for _ in range(4 + dice.below(5)):
        _clutter(canvas, dice, largest=500.0)
    objects = [first] + [dice.below(len(CLASSES)) for _ in range(dice.below(MOST_OBJECTS))]
    objects.insert(dice.below(len(objects)), objects.pop(0))
    for index in objects:
        _object(canvas, dice, index)
    for _ in range(dice.below(3)):
        _clutter(canvas, dice, largest=260.0)
    return _developed(canvas, dice), canvas.labels.reshape(SIZE, SIZE)


def _backdrop(canvas: Canvas, dice: Dice) -> None:
    across, down = _PIXELS[None, :], _PIXELS[:, None]
    cosine, sine = dice.turn(1.0)
    u, v = (across * cosine + down * sine).ravel(), (down * cosine - across * sine).ravel()
    first, second = ground(dice), ground(dice)
    where = noise(dice.field(4, 4), SIZE // 4)
    where = np.clip((where - 0.5) * dice.between(2.0, 8.0) + 0.5, 0.0, 1.0)
    one, other = first.colours(u, v, canvas.grain), second.colours(v, u, canvas.grain)
    canvas.pixels[:] = one + (other - one) * where.ravel()


def _object(canvas: Canvas, dice: Dice, index: int) -> None:
    name = CLASSES[index]
    place = _place(dice, outline(name), 700.0, 4500.0, margin=16.0, steepest=0.45)
    _paint(canvas, dice, place, LOOKS[name], label=index + 1)


def _clutter(canvas: Canvas, dice: Dice, largest: float) -> None:
    """Something unlabelled, in the colours and patterns that objects have."""
    name = tuple(CLUTTER)[dice.below(len(CLUTTER))]
    place = _place(dice, outline(name), 60.0, largest, margin=0.0, steepest=1.0)
    _paint(canvas, dice, place, LOOKS[CLASSES[dice.below(len(CLASSES))]], label=0)


def _paint(canvas: Canvas, dice: Dice, place: Placement, look: Look, label: int) -> None:
    skin = surface(dice, look, TYPICAL)
    rim, shadow = dice.between(0.0, 0.6), dice.between(0.0, 0.6)
    canvas.paint(place, skin, label, rim, shadow)


def _place(
    dice: Dice, shape: Outline, smallest: float, largest: float, margin: float, steepest: float
) -> Placement:
    """A place for something that covers `smallest` to `largest` pixels, were it all in sight."""
    cosine, sine = dice.turn(steepest)
    area = dice.between(smallest, largest)
    return Placement(
        outline=shape,
        x=dice.between(margin, SIZE - margin),
        y=dice.between(margin, SIZE - margin),
        unit=float(np.sqrt(area / shape.area)),
        cosine=cosine,
        sine=sine,
        flip=dice.chance(0.5),
    )


def _developed(canvas: Canvas, dice: Dice) -> NDArray[np.uint8]:
    """The picture in light that falls unevenly, with a little noise: SIZE×SIZE×3."""
    steps = _PIXELS / SIZE - 0.5
    light = (
        dice.between(0.75, 1.1)
        + dice.between(-0.4, 0.4) * steps[None, :]
        + dice.between(-0.4, 0.4) * steps[:, None]
    )
    light += (dice.field(SIZE, SIZE) - 0.5) * dice.between(0.0, 0.06)
    lit = canvas.pixels.reshape(3, SIZE, SIZE) * light
    levels = np.floor(np.clip(lit, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
