"""SANSA with a small SAM 2 on synthetic pictures: the network of ClaudiaCuttano/SANSA."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from models.catalog import load_model
from models.methods import sam2_checkpoint
from tests.parity.form import Case, State, encoded, prediction

CASES = ("sansa-tiny-one", "sansa-tiny-three")
SPEC = "sansa-tiny"
TOLERANCES = {"pointer": 1e-5, "memory": 1e-5, "low": 1e-5}


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The first support's pointer and memory, the query's logits and mask."""
    adapters = {name: tensor for name, tensor in state.items() if ".adapter." in name}
    # As the authors' training leaves it.
    saved = {"model": adapters, "epoch": 4, "args": argparse.Namespace(fold=0)}
    torch.save(saved, folder / "adapter_coco_fold0.pth")
    sam2 = {name: tensor for name, tensor in state.items() if name not in adapters}
    torch.save({"model": sam2}, folder / "sam2_hiera_tiny.pt")
    options = {
        "weights": str(folder / "adapter_coco_fold0.pth"),
        "sam2": str(folder / "sam2_hiera_tiny.pt"),
        "img_size": 40,
    }
    trunk = {(1, 1, 2, 1): (1, [4, 2, 2, 2], [3])}
    with patch.dict(sam2_checkpoint.TRUNKS, trunk), patch.object(sam2_checkpoint, "SIDE", 64):
        model = load_model("sansa", options)
    query, _, supports = encoded(model, case)
    logits = model.segment([query], [supports])[0]
    memory = supports[0]["maskmem_features"]  # (h·w)×1×C
    square = model.geometry.scores(logits[None], (40, 40), (40, 40))
    return {
        "pointer": supports[0]["object_pointer"].flatten(),
        "memory": memory[:, 0].T.reshape(-1, 4, 4),
        "low": logits,
        "square": model.binarize(square)[0],
        "prediction": prediction(model, case, logits),
    }
