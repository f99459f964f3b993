"""The paper's four questions and its shot rule, as one frozen value kept in the checkpoint."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ModelError
from models.registry import unknown

CONFIG_KEY = "diffews_design"  # in the U-Net's config.json


class Design(BaseModel):
    """What a DiffewS checkpoint was trained as; the defaults are the paper's choice.

    Attributes:
        interaction: how the query pass sees the supports. `kv_fusion`: one softmax over its own
            keys and all supports' keys. `tokenized_cross_attention`: CLIP image tokens of the
            supports in place of the text tokens.
        mask_injection: how the support pass sees its mask. `concatenation`: the mask's latent
            beside the image's, 8 channels into `conv_in_ref`. `multiplication`: I·M.
            `attention_mask`: support keys outside the mask are not attended to. `addition`:
            0.5·I + 0.5·M.
        supervision: the image that stands for the query's mask.
        generation: `oi2m`, one step from the image latent; `mi2m`, several steps in which the
            image latent is the noise; `mn2m`, several steps from Gaussian noise.
        shots: `inference_only`, trained with one support; `trained`, with one to K.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interaction: Literal["kv_fusion", "tokenized_cross_attention"] = "kv_fusion"
    mask_injection: Literal["concatenation", "multiplication", "attention_mask", "addition"] = (
        "concatenation"
    )
    supervision: Literal[
        "white_fg_black_bg", "real_fg_black_bg", "black_fg_real_bg", "mask_on_image"
    ] = "white_fg_black_bg"
    generation: Literal["oi2m", "mi2m", "mn2m"] = "oi2m"
    shots: Literal["inference_only", "trained"] = "trained"

    @classmethod
    def of(cls, config: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> "Design":
        """The design in a U-Net's config, the default where it names none.

        Args:
            config: the U-Net's config.
            overrides: fields that replace the checkpoint's; None values are left out.

        Raises:
            ModelError: for a field or a choice that does not exist.
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
            raise ModelError(f"DiffewS: {first['loc'][0]}: {first['msg']}") from None


# What inference can do so far. `shots` changes training alone.
BUILT: Mapping[str, frozenset[str]] = {
    "interaction": frozenset({"kv_fusion"}),
    "mask_injection": frozenset({"concatenation", "attention_mask"}),
    "supervision": frozenset({"white_fg_black_bg"}),
    "generation": frozenset({"oi2m"}),
    "shots": frozenset({"inference_only", "trained"}),
}


def require_built(design: Design) -> None:
    """Refuse a design that inference cannot run.

    Raises:
        ModelError: naming the first choice that is not built yet and those that are.
    """
    for question, built in BUILT.items():
        choice = getattr(design, question)
        if choice not in built:
            raise ModelError(
                f"DiffewS: {question}={choice} is not built yet; "
                f"choose {' or '.join(sorted(built))}"
            )
