"""SAM 3's encoding of boxes, without torchvision."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def roi_align(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Mean features of the cells of boxes, as torchvision's `roi_align` with its defaults has them.

    Each box is cut into size × size cells, and each cell is the mean of points that are at most a
    pixel apart. A feature lies at its whole-numbered coordinates; beyond the map the border's
    value holds for one pixel, and then 0. No box is taken for smaller than a pixel. (He et al.,
    "Mask R-CNN", ICCV 2017.)

    Args:
        features: C×H×W.
        boxes: N×4, left, top, right, bottom in pixels of the map.
        size: cells a side.

    Returns:
        N×C×size×size.
    """
    pooled = [features.new_zeros(0, len(features), size, size)]
    for left, top, right, bottom in boxes.tolist():
        ys, down = _points(top, bottom, size, features)
        xs, across = _points(left, right, size, features)
        height, width = features.shape[1:]
        # What is the border's with aligned corners is a share of all pixels but one.
        grid = torch.stack(torch.meshgrid(_shares(xs, width), _shares(ys, height), indexing="xy"))
        sampled = F.grid_sample(
            features[None],
            grid.permute(1, 2, 0)[None].to(features),
            padding_mode="border",
            align_corners=True,
        )
        inside = _near(ys, height)[:, None] & _near(xs, width)
        pooled.append(F.avg_pool2d(sampled * inside, (down, across)))
    return torch.cat(pooled)


def encode_boxes(
    encoder: Any, boxes: Tensor, mask: Tensor, labels: Tensor, features: Tensor
) -> tuple[Tensor, Tensor]:
    """What transformers' Sam3GeometryEncoder makes of boxes, with our `roi_align`.

    Args:
        encoder: that module.
        boxes: B×N×4, centre x and y, width and height as shares of the image.
        mask: B×N, False for boxes that are none.
        labels: B×N, 1 for what is meant and 0 for what is not.
        features: B×C×H×W, normalised.

    Returns:
        B×N×C, and the mask.
    """
    batch, count = boxes.shape[:2]
    height, width = features.shape[2:]
    corners = torch.cat(
        [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2
    )
    corners = corners * corners.new_tensor([width, height, width, height])
    pooled = torch.cat(
        [
            roi_align(own, part, encoder.roi_size)
            for own, part in zip(features, corners, strict=True)
        ]
    )
    position = encoder._encode_box_coordinates(*boxes.flatten(0, 1).unbind(1))
    encoded: Tensor = (
        encoder.label_embed(labels.long())
        + encoder.boxes_direct_project(boxes)
        + encoder.boxes_pool_project(pooled).view(batch, count, -1)
        + encoder.boxes_pos_enc_project(position.view(batch, count, -1))
    )
    return encoded, mask


def _points(start: float, end: float, size: int, like: Tensor) -> tuple[Tensor, int]:
    """Coordinates along a side, float32, and how many of them a cell has."""
    cell = max(end - start, 1.0) / size
    many = max(1, -int(-cell // 1))
    steps = torch.arange(size * many, device=like.device, dtype=torch.float32)
    return start + (steps + 0.5) * (cell / many), many


def _shares(points: Tensor, length: int) -> Tensor:
    """Coordinates as `grid_sample` counts them, -1 at the first feature and 1 at the last."""
    return 2 * points / max(length - 1, 1) - 1


def _near(points: Tensor, length: int) -> Tensor:
    return (points >= -1) & (points <= length)
