"""FSS-SAM3's canvas and boxes on synthetic pictures: `evaluate.py` of WongKinYiu/FSS-SAM3.

SAM 3 itself is transformers' on both sides, and is not compared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.methods.fss_sam3.canvas import Layout, paint, placed
from models.methods.fss_sam3.segmenter import box_of
from tests.parity.form import Case, State

CASES = ("fss-sam3-one", "fss-sam3-five")
SPEC = "fss-sam3"
TOLERANCES = {"canvas": 1.01 / 255, "boxes": 1e-6}  # a grey level


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The canvas of 1008 pixels, in equal steps, and the supports' boxes on it."""
    pictures = [*case.supports, case.query]
    images = [torch.from_numpy(np.array(one.image)).permute(2, 0, 1) for one in pictures]
    places, query = Layout(1008).places(len(case.supports))
    boxes = [
        placed(torch.tensor(box_of(one.mask, whole=False)).float(), image, place, 1008)
        for one, image, place in zip(case.supports, images[:-1], places, strict=True)
    ]
    return {
        "canvas": paint(1008, images, [*places, query]),
        "boxes": torch.stack(boxes),
    }
