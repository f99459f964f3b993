"""A small SAM 2 on synthetic pictures: the video predictor of facebookresearch/sam2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from models.catalog import load_model
from models.methods import sam2_checkpoint
from tests.parity.form import Case, State, encoded, prediction

CASES = ("sam2-tiny-one", "sam2-tiny-two")
SPEC = "sam2-tiny"
TOLERANCES = {"pointer": 1e-4, "memory": 1e-2, "low": 1e-4}  # memory is in bfloat16


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The first support's pointer and memory, the query's logits and mask."""
    path = folder / "sam2.1_hiera_tiny.pt"
    torch.save({"model": state}, path)
    trunk = {(1, 1, 2, 1): (1, [4, 2, 2, 2], [3])}
    with patch.dict(sam2_checkpoint.TRUNKS, trunk), patch.object(sam2_checkpoint, "SIDE", 64):
        model = load_model("sam2-memory", {"weights": str(path)})
    query, _, supports = encoded(model, case)
    logits = model.segment([query], [supports])[0]
    memory = supports[0]["maskmem_features"].float()  # (h·w)×1×C
    return {
        "pointer": supports[0]["object_pointer"].flatten(),
        "memory": memory[:, 0].T.reshape(-1, 4, 4),
        "low": logits,
        "prediction": prediction(model, case, logits),
    }
