"""CLIPSeg on ViT-B/16 with random weights: timojl/clipseg."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.catalog import load_model
from models.methods.clipseg.prompt import visual_prompt
from models.weights.pretrained import normalised
from tests.parity.form import Case, State, encoded, prediction

CASES = ("clipseg-one",)
SPEC = "clipseg"
TOLERANCES = {
    "query": 1e-3,  # kept in half precision
    "support": 1e-3,
    "prompt": 1e-4,
    "cond": 1e-4,
    "activations": 1e-4,
    "logits": 1e-4,
    "prediction": 1e-4,
}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The images and the mask on the grid, the prompt, what CLIP and the decoder make of them."""
    torch.save(state, folder / "rd64-uni.pth")
    model = load_model("clipseg", {"weights": str(folder / "rd64-uni.pth")})
    query, _, (support,) = encoded(model, case)
    pixels = [
        normalised(model.geometry.image(picture.image).float() / 255, torch.zeros(1))
        for picture in (case.query, *case.supports)
    ]
    mask = model.geometry.mask(case.supports[0].mask.view(np.uint8)).float()
    scores = model.segment([query], [[support]])[0]
    return {
        "query": pixels[0],
        "support": pixels[1],
        "support_mask": mask.bool(),
        "prompt": visual_prompt(pixels[1], mask)[:, ::3, ::3],
        "cond": support["embedding"],
        "activations": query["activations"].flatten(1)[:, ::97],
        "logits": torch.logit(scores + model.threshold)[::2, ::2],
        "prediction": prediction(model, case, scores),
    }
