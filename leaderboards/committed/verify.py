"""Whether a result is what it says: possible counts, and figures that follow from them."""

import math

from benchmarks import BenchError, Result, expected_digest, figures, get_protocol

_TOLERANCE = 1e-9


def check_result(result: Result) -> None:
    """Check one result by itself.

    Raises:
        BenchError: saying what is wrong with it, without naming it.
    """
    _check_protocol(result)
    _check_fold(result)
    _check_counts(result)
    _check_figures(result)


def _check_protocol(result: Result) -> None:
    """The protocol of that name must be what it was when the result was measured."""
    setup = result.record.setup
    now = get_protocol(setup.protocol.name)
    for field in ("resolution", "undrawn", "runs", "ignore"):
        then, current = getattr(setup.protocol, field), getattr(now, field)
        if field == "runs" and setup.episodes.limit is not None:
            current = 1  # a list that was cut is one run
        if then != current:
            raise BenchError(
                f"protocol {now.name} has {field} {current!r}, the result was measured with "
                f"{then!r}; measure it again"
            )
    if setup.episodes.recipe != now.recipe:
        raise BenchError(
            f"protocol {now.name} draws episodes by {now.recipe!r}, the result was measured with "
            f"{setup.episodes.recipe!r}; measure it again"
        )
    published = expected_digest(setup)
    if published not in (None, setup.episodes.digest):
        raise BenchError(
            f"measured on episode list {setup.episodes.digest}, the published list is "
            f"{published}; prepare {setup.dataset.name} and measure it again"
        )


def _check_fold(result: Result) -> None:
    """Novel classes of one fold are base classes of the others."""
    setup = result.record.setup
    if setup.model.trained_fold not in (None, setup.fold):
        raise BenchError(
            f"its weights were trained on the base classes of fold {setup.model.trained_fold}, "
            f"which are novel classes of fold {setup.fold}"
        )


def _check_counts(result: Result) -> None:
    """Both unions and intersections must fit into one image of the protocol's resolution."""
    fi, fu, bi, bu = result.counts.areas.T
    wrong = (fi < 0) | (bi < 0) | (fi > fu) | (bi > bu) | (fi + bu != bi + fu)
    side = get_protocol(result.record.setup.protocol.name).side
    if side is not None:
        wrong |= fi + bu > side**2
    border = result.counts.at_border()
    if border is not None:
        inner, outer = border.areas.T[:2]
        wrong |= (inner < 0) | (inner > outer) | (inner > fi) | (outer > fu)
    if wrong.any():
        episode = int(wrong.argmax())
        raise BenchError(
            f"the counts {result.counts.areas[episode].tolist()} of episode {episode} fit no image"
        )


def _check_figures(result: Result) -> None:
    """Recompute what the record says from the counts."""
    record, ious = result.record, figures.class_ious(result)
    classes = record.setup.dataset.classes
    pairs = {
        "miou": (record.miou, figures.miou(result)),
        "fb_iou": (record.fb_iou, figures.fb_iou(result)),
        **{
            f"class_iou of {classes.get(index, index)!r}": (
                record.class_iou.get(index, math.nan),
                ious.get(index, math.nan),
            )
            for index in sorted(record.class_iou.keys() | ious.keys())
        },
    }
    for name, (said, counted) in pairs.items():
        if not abs(said - counted) <= _TOLERANCE:
            raise BenchError(f"its {name} says {said:.6f}, its episodes make {counted:.6f}")
