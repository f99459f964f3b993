"""What a user may set about `sd-incontext`."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from models.catalog import Options, Tiny
from models.methods.diffews.options import Resolution
from models.methods.diffews.scoring import Rule


class SDInContextOptions(Options):
    """Options of in-context segmentation; the defaults are the paper's where it names them."""

    checkpoint: str | None = Field(
        default=None, description="a Stable Diffusion folder in diffusers' layout"
    )
    unet: str | None = Field(default=None, description="the U-Net in its place: a folder or file")
    random: Tiny = None
    resolution: Resolution = 512
    steps: PositiveInt = Field(default=70, le=1000, description="denoising steps")
    temperature: PositiveFloat = Field(default=0.4, description="of the swapped attention")
    contrast: PositiveFloat = Field(
        default=1.67, description="of the swapped attention's weights; 1 leaves them"
    )
    guidance: float = Field(
        default=3.5,
        ge=1,
        description="weight of the swapped prediction against the plain one at the first step, "
        "falling to half of it, never below 1",
    )
    adain: bool = Field(
        default=True, description="give the latents the statistics of the masks' after each step"
    )
    layers: Literal["decoder", "all"] = Field(
        default="decoder", description="which self-attentions are swapped"
    )
    prediction: Literal["auto", "epsilon", "v_prediction"] = Field(
        default="auto", description="what the U-Net predicts; auto: as scheduler_config.json says"
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="brightness above which a pixel is foreground"
    )
    threshold_rule: Rule = Field(
        default="absolute",
        description="relative: the threshold is a share of the image's largest value; absolute",
    )
    support_features: Literal["latents", "kv"] = Field(
        default="latents",
        description="what a support keeps for its queries: latents, which pass the U-Net again "
        "with each; or keys and values of every step, faster, and of 70 steps at 512² gigabytes",
    )
    seed: int = Field(default=0, ge=0, description="of the noises")
