"""Whether a segmenter keeps the contract of `models.segmenter`, tried out on seeded images.

What passes here can be cached, batched, resumed and moved between engines without a change of its
numbers; whether the numbers are good is for a run to say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.geometry import Size
from models.segmenter import (
    ClassesSegmenter,
    Features,
    PresenceSegmenter,
    Segmenter,
    encode_each,
    joined,
)
from models.trial import SHOTS, Trial

_SIZES: tuple[Size, ...] = ((96, 128), (128, 96))  # wide and tall
# Of the spread of the scores: what a batch's size may change by rounding. A pixel of 8-bit scores
# that averages three channels then moves by a whole step, a third of a 255th.
_ROUNDING = 2e-3


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was checked.
        passed: whether it held for all image sizes.
        detail: what was wrong, or an empty text.
    """

    check: str
    passed: bool
    detail: str


def check_segmenter(model: Segmenter, *, device: str = "cpu", seed: int = 0) -> list[Finding]:
    """Try a segmenter out on small random images, wide and tall.

    Args:
        model: the segmenter.
        device: where its inputs go, as in a run.
        seed: of the images and masks.

    Returns:
        One finding per check, in a fixed order.
    """
    trials = [Trial(model, size, device, seed) for size in _SIZES]
    findings = []
    for name, check in CHECKS.items():
        problems = [_problem(check, trial) for trial in trials]
        detail = next((problem for problem in problems if problem), "")
        findings.append(Finding(name, not detail, detail))
    return findings


def _problem(check: Callable[[Trial], str], trial: Trial) -> str:
    """What a check found wrong on one size, or an empty text."""
    try:
        with torch.inference_mode():
            problem = check(trial)
    except Exception as error:  # whatever a stranger's model raises is the finding
        lines = str(error).strip().splitlines() or ["no message"]
        problem = f"{type(error).__name__}: {lines[0]}"
    height, width = trial.size
    return f"{problem} (images of {width}×{height} pixels)" if problem else ""


def _grid(trial: Trial) -> str:
    grid = tuple(trial.model.geometry.grid(trial.size))
    for what, shape in (("image", trial.images.shape), ("mask", trial.masks.shape)):
        if tuple(shape[-2:]) != grid:
            return f"geometry.grid says {grid} but geometry.{what} gives {tuple(shape[-2:])}"
    return ""


def _encodings(trial: Trial) -> str:
    for name, made, wanted in (
        ("encode_image", trial.encode_images([0, 1]), 2),
        ("encode_support", trial.encode_supports(range(SHOTS)), SHOTS),
    ):
        if len(made) != wanted:
            return f"{name} gave {len(made)} results for {wanted}"
        for features in made:
            if not isinstance(features, Features):
                return f"{name} gave {type(features).__name__} instead of Features"
            for key, tensor in features.tensors.items():
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    return f"{name}: {key!r} is not finite"
            own = sum(tensor.nbytes for tensor in features.tensors.values())
            if features.nbytes > 2 * own + 4096:
                return (
                    f"{name}: features keep {features.nbytes} bytes alive for {own} of their own; "
                    "clone what is a view of the batch"
                )
    return ""


def _parts(trial: Trial) -> str:
    parts = trial.trait("image_parts")
    keys = [part.key for part in parts]
    if not all(isinstance(key, str) and key for key in keys) or len({*keys}) < len(keys):
        return f"image_parts has the keys {keys}; each part needs a name of its own"
    encoded = encode_each(parts, trial.images[:2])
    if any(len(own) != 2 for own in encoded):
        return f"image_parts gave {[len(own) for own in encoded]} results for 2"
    for index, whole in enumerate(trial.encode_images([0, 1]) if parts else ()):
        names = [name for own in encoded for name in own[index].tensors]
        if sorted(names) != sorted(whole.tensors):
            return f"image_parts gave {names}, but encode_image {list(whole.tensors)}"
        together = joined([own[index] for own in encoded])
        for name, tensor in whole.tensors.items():
            if not torch.equal(tensor, together[name]):
                return f"image_parts gave another {name!r} than encode_image"
    return ""


def _scores(trial: Trial) -> str:
    for shot, kind in enumerate(("ordinary", "ordinary", "empty", "full", "one pixel")):
        scores = trial.segment([0], [[shot]])
        if scores.ndim != 3 or len(scores) != 1:
            return f"segment gave shape {tuple(scores.shape)} for one query; B×H×W is asked for"
        if not scores.is_floating_point():
            return f"segment gave {scores.dtype}; scores are floating-point numbers"
        if not scores.isfinite().all():
            return f"scores are not finite where the support mask is {kind}"
    return ""


def _masks(trial: Trial) -> str:
    target = (trial.size[0] + 7, trial.size[1] + 5)
    scores = trial.model.geometry.scores(trial.segment([0], [[1]]), trial.size, target)
    if tuple(scores.shape) != (1, *target):
        return f"geometry.scores gave {tuple(scores.shape)} for {(1, *target)}"
    mask = trial.model.binarize(scores)
    if mask.dtype != torch.bool or mask.shape != scores.shape:
        return f"binarize gave {mask.dtype} {tuple(mask.shape)} for bool {tuple(scores.shape)}"
    return ""


def _repeats(trial: Trial) -> str:
    again = Trial(trial.model, trial.size, trial.device, trial.seed)
    for name, first, second in (
        ("encode_image", trial.features, again.features),
        ("encode_support", trial.supports, again.supports),
    ):
        for one, two in zip(first, second, strict=True):
            for key, tensor in one.tensors.items():
                if not torch.equal(tensor, two[key]):
                    return f"{name} gave another {key!r} the second time"
    if not torch.equal(trial.segment([0], [[1]]), again.segment([0], [[1]])):
        return "segment gave other scores the second time"
    return ""


def _batches(trial: Trial) -> str:
    for name, together, alone in (
        ("encode_image", trial.encode_images([0, 1]), trial.features[:2]),
        ("encode_support", trial.encode_supports([0, 1]), trial.supports[:2]),
    ):
        for one, two in zip(together, alone, strict=True):
            for key, tensor in one.tensors.items():
                if far := _apart(tensor, two[key]):
                    return f"{name}: {key!r} of a batch of two differs from two of one {far}"
    both = trial.segment([0, 1], [[1], [0]])
    for index, row in enumerate(([0], [1])):
        if far := _apart(both[index], trial.segment(row, [[1 - index]])[0]):
            return f"segment: a batch of two differs from two of one {far}"
    return ""


def _ragged(trial: Trial) -> str:
    rows = [[1], [1, 2, 4], [3, 1]]
    together = trial.segment([0, 0, 1], rows)
    for index, query in enumerate([0, 0, 1]):
        if far := _apart(together[index], trial.segment([query], [rows[index]])[0]):
            return f"{len(rows[index])} supports beside others differ from the same alone {far}"
    return ""


def _classes(trial: Trial) -> str:
    if not isinstance(trial.model, ClassesSegmenter):
        return ""
    queries = trial.features[:2]
    one, two, three = ([trial.supports[index]] for index in (0, 1, 3))
    scores = trial.model.segment_classes(queries, [[one, two, three]] * 2)
    if scores.ndim != 4 or tuple(scores.shape[:2]) != (2, 4):
        return f"segment_classes gave {tuple(scores.shape)} for 2 queries and 3 classes; B×4×H×W"
    if not scores.isfinite().all():
        return "segment_classes gave scores that are not finite"
    turned = trial.model.segment_classes(queries[1:], [[three, one, two]])[0]
    if far := _apart(scores[1], turned[[0, 2, 3, 1]]):
        return (
            f"segment_classes depends on the order of classes or on the batch: scores differ {far}"
        )
    return ""


def _presence(trial: Trial) -> str:
    if not isinstance(trial.model, PresenceSegmenter):
        return ""
    queries, rows = [0, 1] * SHOTS, [[shot] for shot in range(SHOTS) for _ in range(2)]
    scores = trial.segment(queries, rows)
    before = scores.clone()
    together = trial.model.presence(*trial.chosen(queries, rows), scores)
    if tuple(together.shape) != (len(queries),):
        return f"presence gave shape {tuple(together.shape)} for {len(queries)} queries; B is asked"
    if not together.isfinite().all():
        return "presence is not finite"
    if not torch.equal(scores, before):
        return "presence changed the scores that it was given"
    alone = [
        trial.model.presence(*trial.chosen([query], [row]), trial.segment([query], [row]))
        for query, row in zip(queries, rows, strict=True)
    ]
    if far := _apart(together, torch.cat(alone)):
        return f"presence of ten queries differs from that of each alone {far}"
    return ""


def _apart(one: Tensor, two: Tensor) -> str:
    """How far two tensors are apart, if further than rounding explains."""
    if one.shape != two.shape:
        return f"in shape: {tuple(one.shape)} and {tuple(two.shape)}"
    if one.numel() == 0:
        return ""
    one, two = one.double(), two.double()
    distance = float((one - two).abs().max())
    if distance <= _ROUNDING * float(two.max() - two.min()) + 1e-5:
        return ""
    return f"by up to {distance:.3g}"


def _inputs(trial: Trial) -> str:
    kept: Mapping[str, list[Tensor]] = {
        "images": [trial.images],
        "masks": [trial.masks],
        "image features": [t for f in trial.features for t in f.tensors.values()],
        "support features": [t for f in trial.supports for t in f.tensors.values()],
    }
    before = {name: [tensor.clone() for tensor in tensors] for name, tensors in kept.items()}
    trial.model.encode_image(trial.images)
    encode_each(trial.trait("image_parts"), trial.images)
    trial.model.encode_support(trial.images, trial.masks, trial.seen_by_supports(range(SHOTS)))
    scores = trial.segment([0, 1], [[1], [0, 4]])
    kept = {**kept, "scores": [scores]}
    before["scores"] = [scores.clone()]
    trial.model.binarize(scores)
    for name, tensors in kept.items():
        if not all(map(torch.equal, tensors, before[name])):
            return f"the {name} it was given were changed in place"
    return ""


def _traits(trial: Trial) -> str:
    blank = torch.zeros_like(trial.images[:1])
    pairs: list[tuple[str, Features, Features]] = []
    if not trial.trait("image_reads_pixels"):
        pairs.append(("image_reads_pixels", trial.features[0], trial.model.encode_image(blank)[0]))
    if not trial.trait("support_reads_pixels"):
        seen = trial.seen_by_supports([0])
        made = trial.model.encode_support(blank, trial.masks[:1], seen)[0]
        pairs.append(("support_reads_pixels", trial.supports[0], made))
    for name, usual, made in pairs:
        if any(_apart(tensor, made[key]) for key, tensor in usual.tensors.items()):
            return f"{name} is False, but other pixels give other features"
    unknown = set(trial.trait("wants")) - {"seeds", "truths", "names"}
    return f"wants what no run gives: {', '.join(sorted(unknown))}" if unknown else ""


CHECKS: Mapping[str, Callable[[Trial], str]] = {
    "images and masks arrive on one grid": _grid,
    "encodings are one per input, finite, and keep no batch alive": _encodings,
    "the parts of image features make the whole": _parts,
    "scores are B×H×W and finite, for empty, full and one-pixel masks too": _scores,
    "scores become a mask on any evaluation grid": _masks,
    "the same call twice gives the same": _repeats,
    "a batch of two equals two of one": _batches,
    "one call takes different numbers of supports": _ragged,
    "classes asked for at once come in any order": _classes,
    "presence is a finite number per query, alone or in a batch": _presence,
    "inputs are left unchanged": _inputs,
    "what it says about itself is so": _traits,
}
