"""What a user may set about DiffewS."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from models import catalog
from models.methods.diffews.attention import Keep
from models.methods.diffews.prompt import PromptTokens
from models.methods.diffews.scoring import Rule, Scoring
from models.methods.diffews.synthetic import Size

_OF_THE_CHECKPOINT = "in place of the checkpoint's design; see models/methods/diffews/design.py"


def _multiple_of_8(value: int) -> int:
    if value % 8:
        raise ValueError(f"{value} is not a multiple of 8; take {value // 8 * 8}")
    return value


Resolution = Annotated[
    int,
    Field(ge=8, description="side of the square that images are squashed to, a multiple of 8"),
    AfterValidator(_multiple_of_8),
]


class DiffewSOptions(catalog.Options):
    """Options of DiffewS; the defaults are the authors' evaluation."""

    checkpoint: str | None = Field(
        default=None,
        description="base folder with vae and text_encoder, and unet unless that lies apart",
    )
    unet: str | None = Field(default=None, description="the U-Net's folder")
    prompt_embeds: str | None = Field(
        default=None, description="safetensors file with the empty prompt's embeddings"
    )
    random: Size | None = Field(
        default=None, description="random weights of this size in their place, for tests"
    )
    seed: int = Field(
        default=0, description="of random weights, of mn2m's noise and of subsample_supports"
    )
    resolution: Resolution = 512
    prompt_tokens: PromptTokens = Field(
        default=2,
        description="length of the empty prompt: 2 as evaluated, 77 as trained; by default also "
        "what a checkpoint holds alone",
    )
    threshold: float = Field(
        default=0.25, ge=0, le=1, description="brightness above which a pixel is foreground"
    )
    threshold_rule: Rule = Field(
        default="relative",
        description="relative: the threshold is a share of the image's largest value; absolute",
    )
    scoring: Scoring = Field(
        default="exact", description="exact: truncated to 8 bits first, as by the authors; float"
    )
    decoder: Literal["vae", "tiny"] = Field(
        default="vae", description="tiny: diffusers' AutoencoderTiny, for previews only"
    )
    tiny_decoder: str | None = Field(default=None, description="the AutoencoderTiny's folder")
    support_features: Keep = Field(
        default="kv",
        description="what a support keeps for its queries: keys and values (kv), or the states "
        "that they are projected from (hidden), half as large and projected at every use",
    )
    channels_last: bool = Field(
        default=False,
        description="lay out the VAE's convolutions with their channels last: on the CPU a few "
        "percent faster for Stable Diffusion's VAE, slower for a tiny one",
    )
    fold_upsampling: bool = Field(
        default=True, description="compute upsampling and the convolution behind it as one"
    )
    compile: bool = Field(
        default=False,
        description="torch.compile the VAE; the first images of a size then take minutes",
    )
    vae_slicing: bool = Field(default=False, description="let the VAE see one image at a time")
    subsample_supports: bool = Field(
        default=False,
        description="of K supports' keys and values keep a random 1/K, as many as one support has",
    )
    denoising_steps: int = Field(
        default=10, ge=1, description="DDIM steps of generation=mi2m and mn2m; oi2m has one"
    )
    interaction: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
    mask_injection: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
    supervision: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
    generation: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
    noise_schedule: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
    shots: str | None = Field(default=None, description=_OF_THE_CHECKPOINT)
