"""Label Anything over a small ViT on synthetic pictures: pasqualedem/LabelAnything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.catalog import load_model
from tests.parity.form import Case, State, encoded

CASES = tuple(f"label-anything-{name}" for name in ("mask", "ways", "bbox", "point"))
SPEC = "label-anything"
TOLERANCES = {"maps": 1e-5, "embeddings": 1e-5, "logits": 5e-4, "prediction": 1e-3}
_SHOTS = {"label-anything-ways": [[0], [1, 2]]}  # of each class; of the others, all of one


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The query's maps, each support's embeddings, all classes' logits and their masks."""
    save_file(state, folder / "model.safetensors")
    kind = case.name.rsplit("-", 1)[1].replace("ways", "mask")
    model = load_model("label-anything", {"weights": str(folder), "prompt_type": kind})
    query, _, supports = encoded(model, case)
    shots = _SHOTS.get(case.name, [list(range(len(supports)))])
    logits = model.segment_classes([query], [[[supports[i] for i in row] for row in shots]])[0]
    size = case.query.mask.shape
    best = model.geometry.scores(logits, (model.config["image_size"],) * 2, size).argmax(0)
    return {
        "maps": query["maps"].flatten()[::23],
        "embeddings": torch.stack([support["embeddings"] for support in supports]),
        "logits": logits.flatten()[::311],
        "prediction": torch.stack([best == 1 + number for number in range(len(shots))]),
    }
