"""INSID3 over a tiny DINOv3 at 192×192: visinf/INSID3 and facebookresearch/dinov3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from models.backbones.base import load_backbone
from models.geometry import Squash
from models.methods.insid3.candidates import backward_candidates, forward_candidates
from models.methods.insid3.clusters import clusters
from models.methods.insid3.debias import debiased
from models.methods.insid3.segmenter import INSID3
from tests.parity.form import Case, State, encoded

CASES = ("insid3-tiny-one", "insid3-tiny-three")
SPEC = "insid3-tiny"
TOLERANCES = {"patches": 1e-4, "debiased": 1e-4}
_SIDE, _COMPONENTS = 192, 4


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The query's patches and their debiased rows, candidates, clusters and both masks."""
    torch.save(state, folder / "dinov3_vitt16_pretrain.pth")
    backbone = load_backbone("dinov3-tiny", str(folder / "dinov3_vitt16_pretrain.pth"), "norm")
    model = INSID3(backbone, Squash(_SIDE), "fp32", svd_components=_COMPONENTS)
    query, _, supports = encoded(model, case)
    patches = query["patches"]
    grid = patches.shape[-2:]
    original = F.normalize(patches.flatten(1).T, dim=1)
    rows = debiased(original, model._basis(patches))
    prototype = F.normalize(torch.stack([shot["prototype"] for shot in supports]).mean(0), dim=0)
    backward = backward_candidates(
        rows, [shot["rows"] for shot in supports], [shot["foreground"] for shot in supports]
    )
    labels = clusters(original, model.tau)
    scores = model.segment([query], [supports])
    size = case.query.mask.shape
    return {
        "patches": patches,
        "debiased": rows.T.view(-1, *grid),
        "candidates": (forward_candidates(rows @ prototype) & backward).view(grid),
        "together": (labels[:, None] == labels)[::5, ::5],
        "coarse": scores[0] > 0,
        "grid": model.binarize(model.geometry.scores(scores, size, (_SIDE, _SIDE)))[0],
    }
