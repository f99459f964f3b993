"""Colours and textures: what a surface looks like, apart from its outline."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets_prep.datasets.shapes.dice import Dice

Array = NDArray[np.floating[Any]]  # float32
Colour = tuple[float, float, float]
Pattern = Literal["grain", "stripes", "checks", "dots"]
PATTERNS: tuple[Pattern, ...] = ("grain", "stripes", "checks", "dots")
GRAIN = 128  # side of the tile of fine noise, a power of two


@dataclass(frozen=True)
class Look:
    """How a class tends to look; its instances vary widely around this.

    Attributes:
        hue: 0..1 round the colour circle.
        pattern: the texture that it often has.
    """

    hue: float
    pattern: Pattern


@dataclass(frozen=True)
class Surface:
    """Two colours and the pattern that mixes them, as drawn for one instance."""

    light: Colour
    dark: Colour
    pattern: Pattern
    period: float  # pixels
    shift: int  # where in the grain it begins, so that no two surfaces share one

    def colours(self, u: Array, v: Array, grain: Array) -> Array:
        """RGB in 0..1, 3×n, at n surface coordinates in pixels; `grain` is GRAIN×GRAIN."""
        row, column = v.astype(np.int32), u.astype(np.int32) + self.shift
        mix = grain[row & (GRAIN - 1), column & (GRAIN - 1)]
        if self.pattern != "grain":
            mix = 0.3 * mix + 0.7 * _mix(self.pattern, u / self.period, v / self.period)
        dark, light = np.array((self.dark, self.light), dtype=np.float32)[..., None]
        colours: Array = dark + (light - dark) * mix
        return colours


def surface(dice: Dice, look: Look, typical: float) -> Surface:
    """Draw a surface; hue and pattern, each for itself, follow `look` as often as `typical`."""
    hue = dice.around(look.hue, 0.09) if dice.chance(typical) else dice.between(0.0, 1.0)
    pattern = look.pattern if dice.chance(typical) else PATTERNS[dice.below(len(PATTERNS))]
    saturation, value = dice.between(0.35, 0.95), dice.between(0.5, 1.0)
    contrast = dice.between(0.35, 0.8)
    return Surface(
        light=rgb(hue, saturation, value),
        dark=rgb(dice.around(hue, 0.1), saturation * dice.between(0.6, 1.0), value * contrast),
        pattern=pattern,
        period=dice.between(4.0, 10.0),
        shift=dice.below(1000),
    )


def ground(dice: Dice) -> Surface:
    """Draw a surface of any colour, paler than things are and mostly without a pattern."""
    hue, saturation, value = dice.between(0.0, 1.0), dice.between(0.0, 0.5), dice.between(0.3, 0.9)
    return Surface(
        light=rgb(hue, saturation, value),
        dark=rgb(dice.around(hue, 0.2), saturation, value * dice.between(0.6, 0.9)),
        pattern=PATTERNS[dice.below(len(PATTERNS))] if dice.chance(0.3) else "grain",
        period=dice.between(4.0, 16.0),
        shift=dice.below(1000),
    )


def rgb(hue: float, saturation: float, value: float) -> Colour:
    """Red, green and blue in 0..1; the hue wraps round."""
    sixth = (hue % 1.0) * 6.0

    def channel(offset: float) -> float:
        k = (offset + sixth) % 6.0
        return value - value * saturation * max(0.0, min(k, 4.0 - k, 1.0))

    return channel(5.0), channel(3.0), channel(1.0)


def noise(knots: Array, step: int) -> Array:
    """Smooth value noise that repeats: n×m knots become (n·step)×(m·step) values in 0..1."""
    t = (np.arange(step, dtype=np.float32) + 0.5) / step
    t = t * t * (3.0 - 2.0 * t)
    for _ in range(2):  # along the rows, then, transposed, along the columns
        following = np.concatenate((knots[:, 1:], knots[:, :1]), axis=1)
        between = knots[:, :, None] + (following - knots)[:, :, None] * t
        knots = between.reshape(len(knots), -1).T
    return np.ascontiguousarray(knots)


def _wave(t: Array) -> Array:
    """A flattened triangle wave of period 1, 0..1."""
    wave: Array = np.clip(np.abs((t - np.floor(t)) * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return wave


def _mix(pattern: Pattern, u: Array, v: Array) -> Array:
    """Share of the light colour, 0..1."""
    a = _wave(u)
    if pattern == "stripes":
        return a
    b = _wave(v)
    if pattern == "checks":
        return a + b - 2.0 * a * b
    return 1.0 - (1.0 - a) * (1.0 - b)
