"""FSSDINO over a small DINOv3 on synthetic pictures: hussni0997/fssdino."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from models.catalog import load_model
from models.methods.fssdino import KINDS, prototypes, similarity
from tests.parity.form import Case, State, encoded

CASES = ("fssdino-dinov3-tiny-one", "fssdino-dinov3-tiny-two")
SPEC = "fssdino-dinov3-tiny"
TOLERANCES = {"patches": 1e-5, "background": 1e-5, "foreground": 1e-5, "maps": 1e-5}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The query's patches, both kinds' prototypes, the maps of foreground and the mask."""
    path = folder / "model.safetensors"
    save_file(state, path)
    options = {"backbone": "dinov3-tiny", "weights": str(path), "size": 128}
    model = load_model("fssdino", options)
    query, _, supports = encoded(model, case)
    draw = np.random.RandomState(0)
    rows = {kind: torch.cat([support[kind] for support in supports]) for kind in KINDS}
    centres = {kind: prototypes(rows[kind], 5, draw) for kind in KINDS}
    maps = similarity(query["patches"], centres["foreground"], rows["foreground"])
    scores = model.segment([query], [supports], seeds=[0])
    return {
        "patches": query["patches"],
        **centres,
        "maps": maps,
        "prediction": model.binarize(scores)[0],
    }
