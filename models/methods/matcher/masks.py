"""Candidate masks from SAM: prompted with points, filtered, and rid of duplicates.

After SAM's automatic mask generator as Matcher has it (Kirillov et al. 2023, appendix on automatic
mask generation).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.methods.sam import SINGLE_MASK, THREE_MASKS, Sam
from models.methods.sam.bits import packed, unpacked
from models.methods.sam.frame import Squashed

_PROMPTS = 64  # decoded at once
_MAPS = 4  # brought to SAM's full size at once: more leave a CPU's cache
_GRID_IOU, _GRID_STABILITY = 0.88, 0.95  # SAM's own, for the masks of a grid of points
_OFFSET = 1.0  # by which stability moves the threshold on logits


@dataclass(frozen=True)
class Candidates:
    """Masks, bool N×side×side, and SAM's predicted IoU of each, N."""

    masks: Tensor
    ious: Tensor


def prompted(
    sam: Sam,
    embedding: Tensor,
    view: Squashed,
    points: Tensor,
    box: Tensor | None,
    *,
    multimask: bool,
    iou: float,
    stability: float,
) -> Candidates:
    """SAM's masks for prompts of positive points.

    Args:
        sam: decodes.
        embedding: of the image, C×h×w.
        view: how the squashed image, on which masks are wanted, lies in what SAM sees.
        points: (x, y) in pixels of the squashed image, S×n×2.
        box: (left, top, right, bottom) there, joined to each prompt; None for none.
        multimask: all three masks of a prompt, or its single one.
        iou: masks are kept whose predicted IoU exceeds this; 0 keeps all.
        stability: masks are kept of at least this stability; 0 keeps all.
    """
    side = view.side
    corners = None if box is None else view.points(box.float().view(2, 2)).flatten()
    which = THREE_MASKS if multimask else SINGLE_MASK
    masks, ious = [], []
    for chunk in torch.split(view.points(points.float()), _PROMPTS):
        boxes = None if corners is None else corners.expand(len(chunk), -1)
        prompt = sam.prompt(chunk, torch.ones(chunk.shape[:2], device=chunk.device), boxes)
        decoded = sam.decode(embedding, *prompt, which=which)
        logits, scores = (part.flatten(0, 1) for part in decoded)
        if iou > 0:
            logits, scores = logits[scores > iou], scores[scores > iou]
        for part, own in zip(torch.split(logits, _MAPS), torch.split(scores, _MAPS), strict=True):
            if len(part) == 0:
                continue
            maps = view.restored(part)
            if stability > 0:
                stable = stabilities(maps) >= stability
                maps, own = maps[stable], own[stable]
            masks.append(maps > 0)
            ious.append(own)
    if not masks:
        empty = torch.zeros(0, side, side, dtype=torch.bool, device=embedding.device)
        return Candidates(empty, torch.zeros(0, device=embedding.device))
    return Candidates(torch.cat(masks), torch.cat(ious))


def everything(sam: Sam, embedding: Tensor, view: Squashed, count: int) -> Candidates:
    """SAM's masks for a grid of count×count points, filtered as SAM's own generator does."""
    return prompted(
        sam,
        embedding,
        view,
        grid(count, view.side).to(embedding.device),
        None,
        multimask=False,
        iou=_GRID_IOU,
        stability=_GRID_STABILITY,
    )


def kept(candidates: Candidates) -> dict[str, Tensor]:
    """Candidates as tensors that take little memory: thousands of masks a megabyte or two.

    `masks` are what `packed` makes of them, a byte each; `ious` are as given.
    """
    masks = torch.frombuffer(bytearray(packed(candidates.masks)), dtype=torch.uint8)
    return {"masks": masks.to(candidates.ious.device), "ious": candidates.ious}


def restored(tensors: Mapping[str, Tensor], side: int) -> Candidates:
    """The candidates, side×side, that `kept` was given."""
    ious = tensors["ious"]
    masks = unpacked(tensors["masks"].cpu().numpy().tobytes(), (len(ious), side, side))
    return Candidates(masks.to(ious.device), ious)


def stabilities(logits: Tensor) -> Tensor:
    """IoU of each mask at a higher with itself at a lower threshold; NaN where both are empty.

    Args:
        logits: N×H×W.
    """
    above, below = ((logits > bound).sum((1, 2)) for bound in (_OFFSET, -_OFFSET))
    return above / below


def distinct(candidates: Candidates, threshold: float) -> Candidates:
    """Non-maximum suppression by the IoU of the masks' boxes; the best predicted come first."""
    order = candidates.ious.sort(descending=True, stable=True).indices
    kept = order[suppressed(boxes(candidates.masks[order]), threshold).logical_not()]
    return Candidates(candidates.masks[kept], candidates.ious[kept])


def suppressed(boxes: Tensor, threshold: float) -> Tensor:
    """Which boxes overlap an earlier one that is not suppressed by more than `threshold`.

    Args:
        boxes: (left, top, right, bottom), float N×4, the better first.
        threshold: on the IoU of areas (right - left) × (bottom - top).

    Returns:
        Bool, N.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    gone = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for index in range(len(boxes)):
        if gone[index]:
            continue
        rest = slice(index + 1, None)
        least = torch.maximum(boxes[index, :2], boxes[rest, :2])
        extent = (torch.minimum(boxes[index, 2:], boxes[rest, 2:]) - least).clamp_min(0)
        shared = extent.prod(1)
        gone[rest] |= shared > threshold * (areas[index] + areas[rest] - shared)
    return gone


def boxes(masks: Tensor) -> Tensor:
    """Tight boxes (left, top, right, bottom; all inside) of N×H×W; zeros of an empty mask.

    Returns:
        float32 N×4.
    """
    edges = []
    for axis in (1, 2):  # which columns, then which rows have foreground
        found = masks.any(axis).float()
        first = found.argmax(1)
        last = found.shape[1] - 1 - found.flip(1).argmax(1)
        edges.append(torch.where(found.any(1), torch.stack([first, last]), 0))
    return torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], dim=1).float()


def grid(count: int, side: int) -> Tensor:
    """The centres of count×count equal cells of a square: (x, y) in pixels, float count²×1×2."""
    centres = (torch.arange(count) + 0.5) * side / count
    return torch.cartesian_prod(centres, centres).flip(1)[:, None]
