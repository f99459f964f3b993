"""What the authors set per dataset, as in the scripts of aim-uofa/Matcher."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

_AFTER_FIRST_SHOT = 5  # masks merged where there are several supports, in all scripts


@dataclass(frozen=True)
class Settings:
    """How masks are prompted for, scored and merged.

    Attributes:
        sizes: least and greatest number of points in a prompt.
        samples: random prompts of each size.
        centres: prompt with this many centres of the matched points; 0 for the points themselves.
        box: whether prompts have the box of the matched points.
        multimask: whether all three of SAM's masks for a prompt are candidates, or its single one.
        grid: prompt with a grid of so many points a side as well; 0 for none.
        iou: SAM's predicted IoU that a prompted mask must exceed; 0 for any.
        stability: least stability of a prompted mask; 0 for any.
        nms: of masks whose boxes overlap by more IoU, the one that SAM scores best is kept.
        alpha: weight of the earth mover's similarity in a mask's score.
        beta: weight of purity × coverage ** `exponent`.
        exponent: see `beta`.
        purity: least purity of a mask (or the greatest that there is); 0 for any.
        coverage: the same for its coverage.
        distance: distances (1 - score) of merged masks are less; None to merge by `share`.
        spread: so are their differences from the least, over the greatest.
        share: a merged mask's score exceeds this share of the greatest; where `distance` is None.
        merged: most masks that are merged.
    """

    sizes: tuple[int, int]
    samples: int
    centres: int = 0
    box: bool = False
    multimask: bool = False
    grid: int = 0
    iou: float = 0.0
    stability: float = 0.0
    nms: float = 1.0
    alpha: float = 1.0
    beta: float = 0.0
    exponent: float = 0.0
    purity: float = 0.0
    coverage: float = 0.0
    distance: float | None = None
    spread: float = 0.1
    share: float = 0.7
    merged: int = 10

    def for_shots(self, shots: int) -> "Settings":
        """The settings for so many supports."""
        return self if shots == 1 else replace(self, merged=min(self.merged, _AFTER_FIRST_SHOT))


PRESETS: Mapping[str, Settings] = {
    # COCO-20i and LVIS-92i
    "coco": Settings(
        sizes=(1, 6),
        samples=64,
        multimask=True,
        grid=64,
        iou=0.85,
        stability=0.90,
        nms=0.65,
        purity=0.02,
        distance=0.33,
        merged=9,
    ),
    "fss": Settings(sizes=(4, 6), samples=30, centres=8, alpha=0.8, beta=0.2, exponent=1.0),
    # PASCAL-Part and PACO-Part
    "parts": Settings(
        sizes=(3, 6), samples=128, box=True, alpha=0.5, beta=0.5, coverage=0.3, merged=5
    ),
}
