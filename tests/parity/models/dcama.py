"""DCAMA over a small ResNet on synthetic pictures: pawn-sxy/DCAMA."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.catalog import load_model
from tests.parity.form import Case, State, encoded

CASES = ("dcama-resnet-one", "dcama-resnet-two")
SPEC = "dcama-resnet"
TOLERANCES = {"scores": 1e-4, "prediction": 1e-3}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The logits' difference and the mask on the grid."""
    torch.save(state, folder / "best_model.pt")
    model = load_model("dcama", {"weights": str(folder / "best_model.pt"), "size": 64})
    query, _, supports = encoded(model, case)
    scores = model.segment([query], [supports])
    return {"scores": scores.flatten()[::2], "prediction": model.binarize(scores)[0]}
