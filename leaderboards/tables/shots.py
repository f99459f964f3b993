"""Models over shots, as markdown."""

from collections.abc import Iterable

from leaderboards.statistics.scores import Setting
from leaderboards.statistics.shots import Curve, Curves, shot_curves
from leaderboards.tables import wording
from leaderboards.tables.markdown import table

READ = (
    "mIoU in percent at each number of shots: the same queries, and nested supports. **Per "
    "doubling**: points gained per doubling of the shots, by least squares over those that a row "
    "has. **Reached at 5**: percent of the gain from 1 shot to the most. **Saturated at**: the "
    "fewest shots of which no more are shown to be better. Small gains hide in noise, so **still "
    "gained** is what the most shots have beyond those. The intervals are 95% and paired: query "
    "images are drawn again, the same at all shots."
)
READ_PLAIN = READ.replace("**", "")  # for pages that are no markdown
HEADS = ("Per doubling (95%)", "Reached at 5 (95%)", "Saturated at", "Still gained (95%)")


def shots_section(settings: Iterable[Setting]) -> list[str]:
    """A section with a table for each tier; empty where nothing has a curve.

    Args:
        settings: of one dataset and protocol.
    """
    parts: list[str] = []
    for found in shot_curves(settings):
        parts += [f"**{wording.TIERS[found.strict]}**", _table(found)]
    return ["### Over shots", READ, *parts] if parts else []


def answers(curve: Curve) -> tuple[str, ...]:
    """What stands below `HEADS`."""
    return (
        curve.slope.signed(),
        wording.percent_interval(curve.reached),
        f"not by {max(curve.rows)}" if curve.saturation is None else str(curve.saturation),
        curve.left.signed() if curve.left else wording.NONE,
    )


def _table(found: Curves) -> str:
    head = ["Model", *map(str, found.shots), *HEADS]
    body = [
        [
            wording.named(own.last),
            *(wording.percent(own.mious.get(shots)) for shots in found.shots),
            *answers(own),
        ]
        for own in found.curves
    ]
    return table(head, body, "l" + "r" * (len(head) - 1))
