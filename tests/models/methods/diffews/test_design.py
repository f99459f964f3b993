import pytest
from pydantic import ValidationError

from models.catalog import load_model
from models.errors import ModelError
from models.methods.diffews import Design
from models.methods.diffews.design import CONFIG_KEY


def test_the_default_is_the_papers_choice() -> None:
    assert Design().model_dump() == {
        "interaction": "kv_fusion",
        "mask_injection": "concatenation",
        "supervision": "white_fg_black_bg",
        "generation": "oi2m",
        "noise_schedule": "sd",
        "shots": "trained",
    }


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Design().shots = "trained"


def test_options_win_over_the_checkpoint_and_the_checkpoint_over_the_default() -> None:
    config = {CONFIG_KEY: {"mask_injection": "attention_mask", "shots": "inference_only"}}
    design = Design.of(config, {"shots": "trained", "mask_injection": None})
    assert (design.mask_injection, design.shots) == ("attention_mask", "trained")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask_injektion": "x"}, "did you mean mask_injection"),
        ({"mask_injection": "stamped"}, "mask_injection"),
    ],
)
def test_unknown_choices_are_named(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Design.of({CONFIG_KEY: fields})


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"mask_injection": "concatenation"}, "cannot go with concatenation: CLIP reads"),
        ({"mask_injection": "multiplication_latent"}, "cannot go with multiplication_latent"),
        ({"noise_schedule": "strong", "interaction": "kv_fusion"}, "oi2m adds no noise"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    choices: dict[str, str], reason: str
) -> None:
    fields = {"interaction": "tokenized_cross_attention", **choices}
    with pytest.raises(ModelError, match=reason):
        Design.of({}, fields)
    with pytest.raises(ModelError, match=reason):
        load_model("diffews", {"random": "tiny", **fields})
