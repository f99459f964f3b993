"""PerSAM and PerSAM-F on a small SAM: ZrrSkywalker/Personalize-SAM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.catalog import load_model
from models.methods.sam import Sam
from tests.parity.form import Case, State, encoded, prediction

CASES = (
    *(f"persam-tiny-0-{kind}" for kind in ("one", "tall", "full", "border")),
    *(f"persam-f-tiny-100-{kind}" for kind in ("one", "tall")),
)
SPEC = "sam-tiny"
_CALLS = range(3)
_TIED = "persam-f-tiny-100-tall"
TOLERANCES = {
    "embedding": 1e-4,
    "target": 1e-4,
    "attention": 1e-4,
    "mixture": 1e-4,
    **{f"call{n}.low": 1e-3 for n in _CALLS},  # kept in half precision
    **{f"call{n}.scores": 1e-4 for n in _CALLS},
    **{f"call{n}.{where}": 1e-6 for n in _CALLS for where in ("points", "box")},
    "prediction": 1e-4,
    # Two neighbouring pixels are equally near to the target there, but for rounding.
    **{f"{_TIED}.call{n}.{what}": 1e-2 for n in _CALLS for what in ("points", "low", "scores")},
    f"{_TIED}.prediction": 1e-2,
}


class Watched(Sam):
    """A SAM that remembers what it was asked and what it answered."""

    calls: list[dict[str, Tensor]]

    def prompt(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As of any SAM."""
        asked = {"points": points, "box": boxes}
        self.calls.append({name: given for name, given in asked.items() if given is not None})
        return super().prompt(points, labels, boxes, masks)

    def decode(self, *args: Any, **which: slice) -> tuple[Tensor, Tensor]:
        """As of any SAM; of the masks a quarter of their pixels."""
        masks, scores = super().decode(*args, **which)
        guided = len(args) > 3
        self.calls[-1] |= {"low": masks[0, :, ::2, ::2], "scores": scores[0]}
        if guided:
            self.calls[-1]["attention"] = args[3].similarity
        return masks, scores


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The embedding, what is kept of the support, each call of SAM for the query, the mask."""
    path = folder / "sam_vit_tiny.pth"
    torch.save(state, path)
    trained = "-f-" in case.name
    steps = {"steps": 100} if trained else {}
    model = load_model("persam-f" if trained else "persam", {"weights": str(path), **steps})
    model.sam = Watched(model.sam.pretrained, model.sam.dtype)
    object.__setattr__(model.sam, "calls", [])
    query, _, (support,) = encoded(model, case)
    kept = "mixture" if trained else "target"
    found: dict[str, Any] = {
        "embedding": query["embedding"],
        kept: support[kept],
    }
    model.sam.calls.clear()
    scores = model.segment([query], [[support]])[0]
    frame = model.sam.frame(query)
    to_image = 1 / frame.points(torch.ones(2))
    for number, call in enumerate(model.sam.calls):
        if "attention" in call:
            found["attention"] = call.pop("attention")
        call["points"] = call["points"][0] * to_image
        if "box" in call:
            call["box"] = call["box"] * to_image.repeat(2)
        found |= {f"call{number}.{name}": value for name, value in call.items()}
    found["prediction"] = prediction(model, case, scores)
    return found
