"""GF-SAM over a tiny DINOv2 at 518×518 and a tiny SAM at 256×256: ANDYZAQ/GF-SAM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.backbones.dino import Variant, _build
from models.methods.dino_sam import DinoSam
from models.methods.gf_sam import GFSAM
from models.methods.gf_sam.alignment import aligned
from models.methods.gf_sam.graph import clusters, coarse
from models.methods.gf_sam.priors import averaged, directions, point_map, points, prior
from models.methods.sam import load_sam
from tests.parity.form import Case, State, encoded

CASES = ("gf-sam-tiny-one", "gf-sam-tiny-three")
SPEC = "gf-sam-tiny-dino+gf-sam-tiny-sam"
TOLERANCES = {
    "embedding": 1e-4,
    "map": 1e-4,
    "foreground.mean": 1e-4,
    "foreground.best": 1e-4,
    "background.mean": 1e-4,
    "masks": 1e-4,
    "taken": 0.02,  # what rounding leaves of masks that repeat others decides
    "prediction": 1e-3,
}
_SIDE = 518
_TINY = Variant("dinov2-tiny", None, 32, 2, 4, 14, _SIDE, 0, "none", "none")
_SAM = ("image_encoder.", "prompt_encoder.", "mask_decoder.")


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """SAM's embedding, priors, points, their masks and clusters, which are taken, the mask."""
    sam = {name: tensor for name, tensor in state.items() if name.startswith(_SAM)}
    torch.save(sam, folder / "sam_vit_tiny.pth")
    torch.save({k: v for k, v in state.items() if k not in sam}, folder / "dinov2_vitt14.pth")
    options = {"device": "cpu", "dtype": torch.float32}
    backbone = _build(_TINY, str(folder / "dinov2_vitt14.pth"), "prenorm", **options)
    own = load_sam("gf-sam", weights=str(folder / "sam_vit_tiny.pth"), random=None, device="cpu",
                   dtype="fp32", option="sam")  # fmt: skip
    model = GFSAM(DinoSam(backbone, own, _SIDE, own.size, "fp32"))
    query, _, supports = encoded(model, case)
    side = model.networks.patches
    rows = directions(query["patches"])
    foreground, background = (
        averaged([prior(shot["rows"] @ rows.T, shot["masks"][kind]) for shot in supports])
        for kind in (0, 1)
    )
    values = point_map(foreground, background)
    places = points(values, side)
    pixels = places * model.sam.size // side
    found = model.point_masks.of(query["embedding"], model.networks.view(query), pixels)
    labels = clusters(found[:, pixels[:, 1], pixels[:, 0]])
    middle = (foreground.mean.max() + foreground.mean.min()) / 2
    gain = foreground.mean**2 - background.mean * middle
    return {
        "embedding": query["embedding"][:, ::2, ::2],
        "foreground.mean": foreground.mean.view(side, side),
        "foreground.best": foreground.best.view(side, side),
        "background.mean": background.mean.view(side, side),
        "map": values.view(side, side),
        "pixels": pixels,
        "masks": found[::5, ::4, ::4],
        "labels": labels,
        "taken": aligned(coarse(found, side), labels, gain)[0],
        "prediction": model.segment([query], [supports])[0] > 0,
    }
