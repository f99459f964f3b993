"""Dense matching or prototypes over Stable Diffusion's features: DiffewS without its training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from models.backbones.stable_diffusion import NAME, Reading, over_unet
from models.catalog import Card, Options, Tiny
from models.geometry import Squash
from models.methods.dense_nn import DenseNN
from models.methods.diffews.parts import Parts
from models.methods.diffews.stock import TIMESTEPS, stock_parts
from models.methods.prototype import Prototype
from models.segmenter import BaseSegmenter, Features, Supports
from models.weights.source import torch_dtype

_MATCHERS: dict[str, type[DenseNN] | type[Prototype]] = {
    "dense-nn": DenseNN,
    "prototype": Prototype,
}


class SDFeaturesOptions(Options):
    """Options of matching over U-Net features; the defaults are DIFT's."""

    checkpoint: str | None = Field(
        default=None, description="a Stable Diffusion folder in diffusers' layout"
    )
    unet: str | None = Field(
        default=None,
        description="the U-Net in its place: a folder, or a file of weights (CleanDIFT's)",
    )
    random: Tiny = None
    matcher: Literal["dense-nn", "prototype"] = Field(
        default="dense-nn", description="what compares the features: the model of that name"
    )
    block: str = Field(
        default="up1", description='the decoder\'s block that is read, or several joined by "+"'
    )
    timestep: int = Field(
        default=261, ge=0, lt=TIMESTEPS, description="up to which latents are noised"
    )
    ensemble: PositiveInt = Field(default=8, description="noises whose features are averaged")
    clean: bool = Field(
        default=False, description="no noise, for CleanDIFT's weights; timestep is still told"
    )
    seed: int = Field(default=0, ge=0, description="of the noises")
    size: PositiveInt = Field(
        default=768,
        description="side in pixels of the square that images are squashed to, rounded up to what "
        "the block needs",
    )


class SDFeatures(BaseSegmenter):
    """`dense-nn` or `prototype` over one decoder block of a frozen U-Net.

    Source: arXiv 2306.03881; github.com/Tsingularity/dift. It differs in the prompt, which is empty
    for there is no class's name, and in the latent, which is the VAE's mean and not a sample.
    """

    Options = SDFeaturesOptions
    tiny: ClassVar[Mapping[str, object] | None] = {"random": "tiny", "size": 64}
    support_reads_pixels = False
    card = Card(
        title="SD features",
        summary="dense-nn or prototype over features of Stable Diffusion's U-Net, no training",
        source="https://arxiv.org/abs/2306.03881",
        year=2023,
        weights="Stable Diffusion, or CleanDIFT",
        licence="CreativeML Open RAIL++-M, or the folder's",
        training_data="LAION, or the folder's: images and texts, no masks",
        sees_test_classes={"*": "no"},
    )

    def __init__(
        self, inner: DenseNN | Prototype, parts: Parts, options: SDFeaturesOptions
    ) -> None:
        self.inner, self.geometry = inner, inner.geometry
        self.image_key, self.weights_digest = inner.image_key, inner.weights_digest
        self.parameters, self.comparable = inner.parameters, inner.comparable
        self.config = options.model_dump(exclude={"checkpoint", "unet"})
        self.card = replace(self.card, weights=f"{NAME}: {inner.backbone.weights}")
        # Fine-tuned with masks after all, such as a DiffewS: its folds are guarded as there.
        self.trained_on = parts.trained_on

    @classmethod
    def load(
        cls, options: SDFeaturesOptions, *, device: str = "cpu", dtype: str = "fp32"
    ) -> "SDFeatures":
        """Build over the folder that `options` name, or over random weights.

        Raises:
            ModelError: if there are no weights, or they do not fit.
        """
        given = options.checkpoint, options.unet, options.random
        kind = torch_dtype(dtype)
        parts = stock_parts(NAME, *given, kind)
        reading = Reading(options.timestep, options.ensemble, options.clean, options.seed)
        source = Path(options.unet or options.checkpoint or "random").name
        backbone = over_unet(parts, source, options.block, reading, device=device, dtype=kind)
        side = -(-options.size // backbone.multiple) * backbone.multiple
        return cls(_MATCHERS[options.matcher](backbone, Squash(side), dtype), parts, options)

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `patches`: the C×h×w feature map."""
        return self.inner.encode_image(images)

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, the matcher's own."""
        return self.inner.encode_support(images, masks, features)

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """The matcher's scores: B×h×w."""
        return self.inner.segment(queries, supports)

    def presence(self, queries: Sequence[Features], supports: Supports, scores: Tensor) -> Tensor:
        """The matcher's own."""
        return self.inner.presence(queries, supports, scores)
