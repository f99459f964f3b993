"""SegGPT at a tiny size, painting 112×112: baaivision/Painter, SegGPT/SegGPT_inference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from models.catalog import load_model
from tests.parity.form import Case, State, encoded, prediction

CASES = ("seggpt-tiny-one", "seggpt-tiny-three", "seggpt-tiny-instance")
SPEC = "seggpt-tiny"
TOLERANCES = {"painting": 1e-4, "prediction": 1e-3}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The supports' masks on the grid, the painting of the query in 0..255, and its mask."""
    torch.save(state, folder / "seggpt_vit_tiny.pth")
    kind = "instance" if case.name.endswith("instance") else "semantic"
    options = {"weights": str(folder / "seggpt_vit_tiny.pth"), "embedding": kind}
    model = load_model("seggpt", options)
    painted: list[torch.Tensor] = []
    model.network.decoder.register_forward_hook(lambda *call: painted.append(call[-1][0]))
    query, _, supports = encoded(model, case)
    scores = model.segment([query], [supports])[0]
    (painting,) = painted
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    painting = painting[:, painting.shape[1] // 2 :] * deviation + mean
    masks = [model.geometry.mask(picture.mask.view(np.uint8)) for picture in case.supports]
    return {
        "supports": torch.stack(masks) > 0,
        "painting": (255 * painting).clamp(0, 255)[:, ::2, ::2],
        "prediction": prediction(model, case, scores),
    }
