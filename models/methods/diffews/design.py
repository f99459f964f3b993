"""The paper's four questions and its shot rule, as one frozen value kept in the checkpoint."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from models.errors import ModelError
from models.registry import unknown

CONFIG_KEY = "diffews_design"  # in the U-Net's config.json

Injection = Literal[
    "concatenation", "multiplication", "multiplication_latent", "attention_mask", "addition"
]
Supervision = Literal["white_fg_black_bg", "real_fg_black_bg", "black_fg_real_bg", "mask_on_image"]

_NO_LATENTS = "CLIP reads the support's pixels, and its tokens have no latent beside them"


class Design(BaseModel):
    """What a DiffewS checkpoint was trained as; the defaults are the paper's choice.

    Attributes:
        interaction: how the query pass sees the supports. `kv_fusion`: one softmax over its own
            keys and all supports' keys. `tokenized_cross_attention`: CLIP image tokens of the
            supports in place of the text tokens.
        mask_injection: how the support pass sees its mask. `concatenation`: the mask's latent
            beside the image's, 8 channels into `conv_in_ref`. `multiplication`: I·M, black
            outside. `multiplication_latent`: the image's latent times the mask on its grid.
            `attention_mask`: support keys outside the mask are not attended to. `addition`:
            0.5·I + 0.5·M.
        supervision: the image that stands for the query's mask; see `supervision.py`.
        generation: `oi2m`, one step from the image latent; `mi2m`, several steps in which the
            image latent is the noise; `mn2m`, several steps from Gaussian noise, with the image
            latent beside the noisy one.
        noise_schedule: of `mi2m` and `mn2m`. `sd`: betas 0.00085 to 0.012, Stable Diffusion's;
            `strong`: 0.0272 to 0.384, which leaves less of the mask at most timesteps.
        shots: `inference_only`, trained with one support; `trained`, with one to K.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interaction: Literal["kv_fusion", "tokenized_cross_attention"] = "kv_fusion"
    mask_injection: Injection = "concatenation"
    supervision: Supervision = "white_fg_black_bg"
    generation: Literal["oi2m", "mi2m", "mn2m"] = "oi2m"
    noise_schedule: Literal["sd", "strong"] = "sd"
    shots: Literal["inference_only", "trained"] = "trained"

    @model_validator(mode="after")
    def _makes_sense(self) -> "Design":
        latent = self.mask_injection in ("concatenation", "multiplication_latent")
        if self.tokenized and latent:
            raise ValueError(
                f"tokenized_cross_attention cannot go with {self.mask_injection}: {_NO_LATENTS}; "
                "choose multiplication, attention_mask or addition"
            )
        if self.noise_schedule != "sd" and self.generation == "oi2m":
            raise ValueError("noise_schedule=strong needs several steps: oi2m adds no noise")
        return self

    @property
    def tokenized(self) -> bool:
        """Whether supports reach the query as CLIP tokens."""
        return self.interaction == "tokenized_cross_attention"

    @property
    def concatenates(self) -> bool:
        """Whether a support's mask has a latent of its own."""
        return self.mask_injection == "concatenation"

    @property
    def reads_query(self) -> bool:
        """Whether the mask is read from the decoded image by comparing it with the query's."""
        return self.supervision in ("black_fg_real_bg", "mask_on_image")

    @classmethod
    def of(cls, config: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> "Design":
        """The design in a U-Net's config, the default where it names none.

        Args:
            config: the U-Net's config.
            overrides: fields that replace the checkpoint's; None values are left out.

        Raises:
            ModelError: for a field or a choice that does not exist, or choices that make no
                sense together.
        """
        chosen = {k: v for k, v in (overrides or {}).items() if v is not None}
        fields = {**config.get(CONFIG_KEY, {}), **chosen}
        for key in fields:
            if key not in cls.model_fields:
                raise ModelError(
                    f"DiffewS: {unknown('design choice', key, list(cls.model_fields))}"
                )
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{first['loc'][0]}: " if first["loc"] else ""
            raise ModelError(
                f"DiffewS: {where}{first['msg'].removeprefix('Value error, ')}"
            ) from None
