"""VRP-SAM over ResNet-50 on a small SAM: syp2ysy/VRP-SAM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.catalog import load_model
from models.methods.vrp_sam.encoder import Reference, prior
from models.weights.pretrained import normalised
from tests.parity.form import Case, State, encoded

CASES = ("vrp-resnet50-one", "vrp-resnet50-five")
SPEC = "vrp-resnet50+sam-tiny"
TOLERANCES = {
    "query": 1e-5,
    "embedding": 1e-4,
    "middle": 1e-4,
    "prototype": 1e-4,
    "prior": 1e-4,
    "protos": 1e-4,
    "logits": 1e-3,
    "prediction": 1e-4,
}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The images on the grid, what encoder and SAM make of them, the prompts and the mask."""
    own = {name: tensor for name, tensor in state.items() if name.startswith("module.")}
    torch.save(own, folder / "best_model.pt")
    torch.save({k: v for k, v in state.items() if k not in own}, folder / "sam_vit_tiny.pth")
    places = {"weights": str(folder / "best_model.pt"), "sam": str(folder / "sam_vit_tiny.pth")}
    model = load_model("vrp-sam", places)
    query, _, supports = encoded(model, case)
    masks = torch.stack([model.geometry.mask(p.mask.view(np.uint8)) for p in case.supports]) > 0
    references = [Reference(**support.tensors) for support in supports]
    middle, deep = query["middle"], query["deep"]
    prompts = [model.encoder.prompts(middle, deep, reference) for reference in references]
    scores = model.segment([query], [supports])[0]
    return {
        "query": normalised(model.geometry.image(case.query.image).float() / 255, torch.zeros(1)),
        "support_masks": masks,
        "embedding": query["embedding"],
        "middle": middle,
        "mask": masks[:, ::8, ::8],
        "prototype": torch.stack([reference.prototype for reference in references]),
        "prior": torch.stack([prior(deep, r.deep) for r in references])[:, ::2, ::2],
        "protos": torch.stack(prompts)[:, :, ::4],
        "logits": scores[::3, ::3],
        "prediction": scores > 0,
    }
