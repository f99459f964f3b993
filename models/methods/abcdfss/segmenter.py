"""ABCDFSS as a `Segmenter`."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from models.backbones.base import RANDOM, Backbone, load_backbone
from models.backbones.resnet import ResNet
from models.catalog import Card, Options
from models.errors import ModelError
from models.geometry import Squash
from models.methods.abcdfss.compare import attended, on_grid, threshold
from models.methods.abcdfss.heads import Fitting, Head, Shear, Views, fit, sheared
from models.methods.patches import SEES_TEST_CLASSES, OverPatches
from models.segmenter import BaseSegmenter, Features, Supports

_SIZE = 400
_LEAST = 33  # a map of a single place, as stage 4's of 32 pixels, has no batch norm
_TINY = {"backbone": "dinov3-tiny", "layer": "block1+block2", "weights": RANDOM}
_TINY_SIZE, _TINY_EPOCHS = 64, 3


class ABCDFSSOptions(Options):
    """Options of ABCDFSS; the defaults are the authors'."""

    backbone: str = Field(
        default="resnet50",
        description="a name of models.backbones.BACKBONES; of a ResNet, all bottlenecks of stages "
        "2 to 4 are read",
    )
    weights: str | None = Field(
        default=None,
        description="a file, a folder or a hub id owner/name[@revision]; by default the backbone's "
        "usual ones; the authors take torchvision's second, resnet50-11ad3fa6.pth",
    )
    layer: str | None = Field(
        default=None, description='of another backbone, the layers to read, joined by "+"'
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="a random backbone of this size in its place, for tests"
    )
    size: int | None = Field(
        default=None,
        ge=_LEAST,
        description=f"side in pixels of the square that images are squashed to; by default {_SIZE},"
        f" for random=tiny {_TINY_SIZE}; of other backbones than ResNets rounded up",
    )
    num_epochs: int | None = Field(
        default=None,
        ge=0,
        description=f"steps of fitting; by default 25, for random=tiny {_TINY_EPOCHS}",
    )
    lr: PositiveFloat = Field(default=1e-2, description="of SGD")
    out_channels: PositiveInt = Field(default=64, description="width of the attached layers")
    n_transformed_imgs: PositiveInt = Field(default=2, description="sheared views of an image")
    maxshear: int = Field(default=20, ge=0, le=60, description="degrees a view is sheared at most")


class ABCDFSS(OverPatches, BaseSegmenter):
    """Attach a small network to each map of a frozen backbone, fit it to the episode, compare.

    This is the authors' `--adapt-to every-episode` without their optional CRF. Each attached
    network is fitted on sheared views of the supports, with their masks, and of the query's
    pixels; the query's mask takes no part. A place of the query scores the share of foreground in
    its attention to the supports' places, averaged over the maps; the threshold is the greater of
    the map's mean and Otsu's. What differs: shears and first weights are drawn anew for each
    episode, from its seed, and a map without any spread is all of one kind.

    Source: CVPR 2024, arXiv 2402.17614; github.com/Vision-Kek/ABCDFSS.
    """

    Options = ABCDFSSOptions  # type: ignore[assignment]
    wants = frozenset({"seeds"})
    batch_size = 1
    card = Card(
        title="ABCDFSS",
        summary="small layers fitted to each episode behind a frozen ResNet, then attention",
        source="https://arxiv.org/abs/2402.17614",
        year=2024,
        weights="torchvision's second ResNet-50, resnet50-11ad3fa6.pth",
        licence="BSD-3-Clause weights; no LICENSE file in the repository",
        training_data="ImageNet-1k labels; each episode's supports",
        sees_test_classes=SEES_TEST_CLASSES,
    )

    def __init__(
        self, backbone: Backbone, geometry: Squash, dtype: str, options: ABCDFSSOptions
    ) -> None:
        super().__init__(backbone, geometry, dtype)
        self.options = options
        self.image_key = None  # its features hold more than other models share
        tiny = options.random is not None
        epochs = options.num_epochs
        if epochs is None:
            epochs = _TINY_EPOCHS if tiny else Fitting.num_epochs
        self.fitting = Fitting(epochs, options.lr)
        given = ("lr", "out_channels", "n_transformed_imgs", "maxshear")
        self.config = {
            **self.config,
            **({"layer": "stages 2 to 4"} if isinstance(backbone.network, ResNet) else {}),
            "num_epochs": epochs,
            **{name: getattr(options, name) for name in given},
        }

    @classmethod
    def load(cls, options: ABCDFSSOptions, *, device: str, dtype: str) -> Self:  # type: ignore[override]
        """ABCDFSS over the backbone that `options` name.

        Raises:
            ModelError: for an unknown backbone or layer, weights that are missing, the layer of a
                ResNet, or `backbone`, `weights` or `layer` beside `random`.
        """
        size = options.size or _SIZE
        if options.asks_random("abcdfss", "backbone", "weights", "layer"):
            options = options.model_copy(update=_TINY)
            size = options.size or _TINY_SIZE
        backbone = load_backbone(
            options.backbone, options.weights, options.layer, device=device, dtype=dtype
        )
        if isinstance(backbone.network, ResNet):
            if options.layer is not None:
                raise ModelError(
                    f"abcdfss reads stages 2 to 4 of {options.backbone}: leave out the option layer"
                )
        else:
            size = -(-size // backbone.multiple) * backbone.multiple
        return cls(backbone, Squash(size), dtype, options)

    def levels(self, images: Tensor) -> list[Tensor]:
        """The maps that are compared, of normalised images: each B×C×h×w."""
        network = self.backbone.network
        images = images.to(next(network.parameters()).dtype)
        with torch.no_grad():
            if isinstance(network, ResNet):
                return [maps.float() for stage in network.stages(images)[1:] for maps in stage]
            return [maps.float() for maps in self.backbone.extract(images)]

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image the normalised `image`, 3×H×W, and its maps, `0`, `1` and so on, C×h×w."""
        pixels = self.backbone.normalised(images)
        levels = self.levels(pixels)
        return [
            Features(
                {"image": pixels[index].clone()}
                | {str(number): maps[index].clone() for number, maps in enumerate(levels)}
            )
            for index in range(len(images))
        ]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, its image's features and the `mask`, H×W."""
        return [
            Features({**feature.tensors, "mask": mask.to(feature["image"]).clone()})
            for mask, feature in zip(masks, features, strict=True)
        ]

    def segment(
        self,
        queries: Sequence[Features],
        supports: Supports,
        seeds: Sequence[int] = (),
    ) -> Tensor:
        """Attended foreground minus its threshold: B×H×W, in -1..1."""
        scores = []
        for query, shots, seed in zip(queries, supports, seeds, strict=True):
            with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
                torch.default_generator.manual_seed(seed)
                most = self.options.maxshear
                drawn = torch.randint(-most, most + 1, (self.options.n_transformed_imgs, 2))
                shears = [(int(x), int(y)) for x, y in drawn]
                score = self.attention(query, shots, shears, self.heads(query))
            scores.append(score - threshold(score))
        return torch.stack(scores)

    def heads(self, query: Features) -> list[Head]:
        """One fresh head for each map, of random weights."""
        widths = [len(query[str(number)]) for number in range(len(query.tensors) - 1)]
        device = query["image"].device
        return [Head(width, self.options.out_channels).to(device) for width in widths]

    def attention(
        self,
        query: Features,
        shots: Sequence[Features],
        shears: Sequence[Shear],
        heads: Sequence[Head],
    ) -> Tensor:
        """Fit the heads in place and compare: H×W in 0..1."""
        # Copies, for autograd takes no tensors of inference mode.
        images = torch.stack([query["image"], *(shot["image"] for shot in shots)]).clone()
        masks = torch.stack([shot["mask"] for shot in shots]).clone()
        views, count = sheared(images, shears), len(shears)
        mask_views = sheared(masks[:, None], shears)[:, 0]
        coarse = []
        for number, (head, of) in enumerate(zip(heads, self.levels(views), strict=True)):
            name = str(number)
            maps = torch.stack([query[name], *(shot[name] for shot in shots)]).clone()
            moved = sheared(maps, shears)
            coarse_masks = on_grid(mask_views, maps.shape[2:])
            with torch.enable_grad():
                parts = (moved[:count], of[:count], moved[count:], of[count:], coarse_masks)
                fit(head, Views(*parts), self.fitting)
            with torch.no_grad():
                coarse.append(attended(head(maps[:1])[0], head(maps[1:]), masks))
        grid = coarse[0].shape
        mean = torch.stack([on_grid(part[None], grid)[0] for part in coarse]).mean(0)
        return on_grid(mean[None], masks.shape[1:])[0]
