"""DiffewS' four questions: the designs that are trained for them, and the rows of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One answer to one question.

    Attributes:
        question: what the row is an answer to.
        answer: its name in the table.
        training: which of `TRAININGS` it is measured with.
        shots: supports of an episode.
        options: of the model at test time.
    """

    question: str
    answer: str
    training: str
    shots: int = 1
    options: Mapping[str, object] = field(default_factory=dict)


_ONE = {"shots": "inference_only"}
_CLIP = {**_ONE, "interaction": "tokenized_cross_attention"}

# The paper's choice, trained with one support, and one change of it for every other answer; but
# CLIP's tokens cannot be concatenated, and are asked for the mask's injection on their own.
TRAININGS: Mapping[str, Mapping[str, str]] = {
    "default": _ONE,
    "tokenized": {**_CLIP, "mask_injection": "attention_mask"},
    "tokenized-multiplication": {**_CLIP, "mask_injection": "multiplication"},
    "tokenized-addition": {**_CLIP, "mask_injection": "addition"},
    "multiplication": {**_ONE, "mask_injection": "multiplication"},
    "multiplication-latent": {**_ONE, "mask_injection": "multiplication_latent"},
    "attention-mask": {**_ONE, "mask_injection": "attention_mask"},
    "addition": {**_ONE, "mask_injection": "addition"},
    "real-fg": {**_ONE, "supervision": "real_fg_black_bg"},
    "real-bg": {**_ONE, "supervision": "black_fg_real_bg"},
    "mask-on-image": {**_ONE, "supervision": "mask_on_image"},
    "mi2m": {**_ONE, "generation": "mi2m"},
    "mi2m-strong": {**_ONE, "generation": "mi2m", "noise_schedule": "strong"},
    "mn2m": {**_ONE, "generation": "mn2m"},
    "n-shot": {"shots": "trained"},
}

_THINNED = {"subsample_supports": True}
ROWS: Sequence[Row] = (
    Row("interaction", "kv_fusion with concatenation", "default"),
    Row("interaction", "kv_fusion with attention_mask", "attention-mask"),
    Row("interaction", "tokenized_cross_attention with attention_mask", "tokenized"),
    Row("mask injection", "concatenation", "default"),
    Row("mask injection", "multiplication (pixels)", "multiplication"),
    Row("mask injection", "multiplication (latents)", "multiplication-latent"),
    Row("mask injection", "attention_mask", "attention-mask"),
    Row("mask injection", "addition", "addition"),
    Row("mask injection, tokenized", "attention_mask", "tokenized"),
    Row("mask injection, tokenized", "multiplication (pixels)", "tokenized-multiplication"),
    Row("mask injection, tokenized", "addition", "tokenized-addition"),
    Row("supervision", "white_fg_black_bg", "default"),
    Row("supervision", "real_fg_black_bg", "real-fg"),
    Row("supervision", "black_fg_real_bg", "real-bg"),
    Row("supervision", "mask_on_image", "mask-on-image"),
    Row("generation", "oi2m", "default"),
    Row("generation", "mi2m (β 0.0272–0.384)", "mi2m-strong"),
    Row("generation", "mi2m (β 0.00085–0.012)", "mi2m"),
    Row("generation", "mn2m", "mn2m"),
    Row("shots", "inference_only", "default", shots=5),
    Row("shots", "inference_only (subsampled)", "default", shots=5, options=_THINNED),
    Row("shots", "trained", "n-shot", shots=5),
)
