"""ABCDFSS over a small ResNet on synthetic pictures, 25 steps a head: Vision-Kek/ABCDFSS."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.backbones.base import Backbone, freeze
from models.backbones.resnet import ResNet
from models.geometry import Squash
from models.methods.abcdfss.compare import threshold
from models.methods.abcdfss.segmenter import ABCDFSS, ABCDFSSOptions
from tests.parity.form import Case, State, encoded

CASES = ("abcdfss-resnet-one", "abcdfss-resnet-two")
SPEC = "abcdfss-resnet"
TOLERANCES = {"adapted": 1e-3, "attention": 1e-4, "threshold": 1e-3, "prediction": 1e-3}
_SHEARS = ((11, -6), (-17, 4))


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """The first level's query after the fit, what all attend to, the threshold and the mask."""
    network = ResNet((1, 1, 2, 1), 4)
    network.load_state_dict({n: t for n, t in state.items() if not n.startswith("heads.")})
    freeze(network, "cpu", torch.float32)
    backbone = Backbone("resnet50", network, (), lambda images: [], "digest", "case", "", "")
    model = ABCDFSS(backbone, Squash(64), "fp32", ABCDFSSOptions())
    query, _, supports = encoded(model, case)
    with torch.inference_mode(False):
        heads = model.heads(query)
        for number, head in enumerate(heads):
            start = f"heads.{number}."
            own = {n.removeprefix(start): t for n, t in state.items() if n.startswith(start)}
            head.load_state_dict({name: tensor.clone() for name, tensor in own.items()})
        attention = model.attention(query, supports, _SHEARS, heads)
        adapted = heads[0](query["0"].clone()[None])[0].detach()
    return {
        "adapted": adapted,
        "attention": attention.flatten()[::3],
        "threshold": torch.tensor([threshold(attention)]),
        "prediction": attention > threshold(attention),
    }
