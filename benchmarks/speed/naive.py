"""The way that encodes everything afresh, one episode at a time."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from models.methods.diffews import DiffewS
from models.segmenter import Features, Segmenter, seen_by_supports

# K supports, each an image (1×3×H×W) with its mask (1×H×W), and a query (1×3×H×W), to scores
# (1×H×W). Grids may differ. What the model's `wants` names comes as keyword arguments.
NaivePath = Callable[..., Tensor]


def naive_path(model: Segmenter) -> NaivePath:
    """What one episode costs without any cache: the authors' own way where we know it."""
    if isinstance(model, DiffewS):
        from benchmarks.speed.naive_diffews import NaiveDiffewS

        return NaiveDiffewS(model)

    def run(supports: Sequence[tuple[Tensor, Tensor]], query: Tensor, **extras: Any) -> Tensor:
        encoded: list[Features] = []
        for image, mask in supports:
            encoded += model.encode_support(image, mask, seen_by_supports(model, image))
        return model.segment(model.encode_image(query), [encoded], **extras)

    return run
