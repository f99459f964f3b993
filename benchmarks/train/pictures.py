"""Rows of images as one PNG."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def save_grid(path: Path, rows: Sequence[Tensor], gap: int = 2) -> None:
    """Write rows of images.

    Args:
        path: a PNG, its folder made if absent.
        rows: each B×3×H×W in -1..1, all of one shape.
        gap: white pixels between images.
    """
    lines = []
    for images in rows:
        cells = torch.nn.functional.pad((images.float() + 1) / 2, (0, gap, 0, gap), value=1.0)
        lines.append(torch.cat(list(cells), 2))
    pixels = (torch.cat(lines, 1) * 255).round().clamp(0, 255).byte()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
