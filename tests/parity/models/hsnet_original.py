"""HSNet over a small ResNet at 64×64, scored at the query's own size: juhongm999/hsnet.

Its `use_original_imgsize`, on synthetic pictures. The authors stretch each shot's logits from the
learner's grid to that size, and then vote; here they reach the model's square first, and the vote
is stretched. The tolerances of `prediction` are the share of pixels that this changes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.catalog import load_model
from tests.parity.form import Case, State, encoded, prediction

CASES = ("hsnet-resnet-one", "hsnet-resnet-two")
SPEC = "hsnet-resnet"
TOLERANCES = {"hsnet-resnet-one.prediction": 5e-4, "hsnet-resnet-two.prediction": 0.01}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The mask at the query's own size."""
    torch.save(state, folder / "best_model.pt")
    model = load_model("hsnet", {"weights": str(folder / "best_model.pt"), "size": 64})
    query, _, supports = encoded(model, case)
    return {"prediction": prediction(model, case, model.segment([query], [supports])[0])}
