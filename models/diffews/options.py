"""What a user may set about DiffewS."""

from typing import Literal

from pydantic import Field, field_validator

from models import catalog
from models.diffews.attention import Keep
from models.diffews.prompt import PromptTokens
from models.diffews.scoring import Rule, Scoring

Size = Literal["tiny", "sd21"]


class DiffewSOptions(catalog.Options):
    """Options of DiffewS; the defaults are the authors' evaluation.

    Attributes:
        checkpoint: base folder with `vae` and `text_encoder`, and `unet` unless given apart.
        unet: the U-Net's folder.
        prompt_embeds: safetensors file with the empty prompt's embeddings.
        random: random weights of this size in place of a checkpoint, for tests and timings.
        seed: of the random weights.
        resolution: side of the square that images are squashed to, a multiple of 8.
        prompt_tokens: length of the empty prompt: 2 as evaluated, 77 as trained.
        threshold: see `threshold_rule`.
        threshold_rule: `relative` to the largest value of the image, or `absolute` in 0..1.
        scoring: `exact` truncates to 8 bits as the authors do; `float` does not.
        decoder: `vae`, or `tiny` for previews with diffusers' AutoencoderTiny.
        tiny_decoder: the AutoencoderTiny's folder.
        support_features: what a support keeps for its queries: keys and values (`kv`), or the
            states they are projected from (`hidden`), half as large but projected at every use.
        channels_last: memory layout of the convolutions. Faster, but on a CPU torch's group
            normalisation rounds more in it: decoded images then differ by up to 1e-3.
        fold_upsampling: compute upsampling and the convolution behind it as one.
        compile: compile the VAE with `torch.compile`; the first images of a size then take
            minutes.
        vae_slicing: let the VAE see one image at a time.
        noise: added to the query latent; `oi2m` has none.
        interaction: overrides the checkpoint's `Design`, as do the four below.
        mask_injection: see `Design`.
        supervision: see `Design`.
        generation: see `Design`.
        shots: see `Design`.
    """

    checkpoint: str | None = None
    unet: str | None = None
    prompt_embeds: str | None = None
    random: Size | None = None
    seed: int = 0
    resolution: int = Field(512, ge=8)
    prompt_tokens: PromptTokens = 2
    threshold: float = Field(0.25, ge=0, le=1)
    threshold_rule: Rule = "relative"
    scoring: Scoring = "exact"
    decoder: Literal["vae", "tiny"] = "vae"
    tiny_decoder: str | None = None
    support_features: Keep = "kv"
    channels_last: bool = False
    fold_upsampling: bool = True
    compile: bool = False
    vae_slicing: bool = False
    noise: Literal["none"] = "none"
    interaction: str | None = None
    mask_injection: str | None = None
    supervision: str | None = None
    generation: str | None = None
    shots: str | None = None

    @field_validator("resolution")
    @classmethod
    def _multiple_of_8(cls, value: int) -> int:
        if value % 8:
            raise ValueError(f"{value} is not a multiple of 8; take {value // 8 * 8 or 8}")
        return value
