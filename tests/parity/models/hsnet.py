"""HSNet over VGG-16 at 128×128: juhongm999/hsnet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.catalog import load_model
from models.weights.pretrained import normalised
from tests.parity.form import Case, State, encoded

CASES = ("hsnet-vgg16-128-one", "hsnet-vgg16-128-five")
SPEC = "hsnet-vgg16"
TOLERANCES = {"query": 1e-5, "prediction": 1e-4}


def stages(case: Case, state: State, folder: Path, name: str = "hsnet") -> Mapping[str, Any]:
    """The query's pixels and the supports' masks on the grid, and the mask that they vote for."""
    torch.save(state, folder / "best_model.pt")
    model = load_model(name, {"weights": str(folder / "best_model.pt"), "size": 128})
    query, _, supports = encoded(model, case)
    pixels = model.geometry.image(case.query.image).float() / 255
    masks = [model.geometry.mask(picture.mask.view(np.uint8)) for picture in case.supports]
    scores = model.segment([query], [supports])
    return {
        "query": normalised(pixels, torch.zeros(1)),
        "masks": torch.stack(masks) > 0,
        "prediction": model.binarize(scores)[0],
    }
