"""A segmenter to copy: a mean colour per kind, compared patch by patch.

Copy this file, change what is marked 1 to 4, then

    bench models check my_model.py
    bench run --model-from my_model.py --datasets shapes

It works as it is: a query patch is foreground if its colour is nearer to the mean colour of the
supports' foreground than to that of their background. `models.segmenter` says what each method
gets and gives, and which a model may have beside, such as `presence`; every tensor is on the device
that `load` was told.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from models import catalog
from models.catalog import Card
from models.geometry import Squash
from models.segmenter import BaseSegmenter, Features, Supports


class MeanColour(BaseSegmenter):
    """Nearest mean colour; 1. say here what yours does and where it comes from."""

    class Options(catalog.Options):
        """2. What a user may set, with `--option KEY=VALUE` or in bench.yaml."""

        patch: int = Field(default=4, ge=1, description="pixels per side of a patch")

    card = Card(title="Mean colour", summary="nearest mean colour of the supports")

    def __init__(self, options: Options) -> None:
        self.options = options
        # 3. How images reach the model. They come squashed to 128×128 here; `LongestSide` keeps
        # the aspect ratio and pads, `Native` keeps an image's own size.
        self.geometry = Squash(128)
        # Written into every result; a learned model also sets weights_digest and parameters.
        self.config = options.model_dump()

    @classmethod
    def load(cls, options: Options, *, device: str, dtype: str) -> "MeanColour":
        """4. Read the weights here, move them to `device` and `dtype`, and call `.eval()`."""
        return cls(options)

    def encode_image(self, images: Tensor) -> list[Features]:
        """What depends on an image alone, once per image, for queries and supports alike.

        Put the heavy part here: it is kept and used again by all episodes with this image.
        """
        colours = F.avg_pool2d(images, self.options.patch)
        # `clone`, because a slice would keep the whole batch in memory.
        return [Features({"colours": image.clone()}) for image in colours]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """What depends on an image and its mask, kept as well; the mask may be empty or full."""
        shares = F.avg_pool2d(masks[:, None], self.options.patch)[:, 0]
        encoded = []
        for feature, share in zip(features, shares, strict=True):
            means = [
                (feature["colours"] * weight).sum((1, 2)) / weight.sum().clamp_min(1e-6)
                for weight in (share, 1 - share)
            ]
            encoded.append(Features({"means": torch.stack(means)}))
        return encoded

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Scores per query, on any grid; foreground where they are positive (see `binarize`)."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            means = torch.stack([shot["means"] for shot in shots]).mean(0)
            distances = (query["colours"][None] - means[:, :, None, None]).norm(dim=1)
            scores.append(distances[1] - distances[0])
        return torch.stack(scores)
