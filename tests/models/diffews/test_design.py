import pytest
from pydantic import ValidationError

from models.catalog import load_model
from models.diffews import Design
from models.diffews.design import CONFIG_KEY, require_built
from models.errors import ModelError


def test_the_default_is_the_papers_choice() -> None:
    assert Design().model_dump() == {
        "interaction": "kv_fusion",
        "mask_injection": "concatenation",
        "supervision": "white_fg_black_bg",
        "generation": "oi2m",
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
    ("question", "choice"),
    [
        ("interaction", "tokenized_cross_attention"),
        ("mask_injection", "multiplication"),
        ("mask_injection", "addition"),
        ("supervision", "real_fg_black_bg"),
        ("generation", "mi2m"),
        ("generation", "mn2m"),
    ],
)
def test_what_is_not_built_says_so(question: str, choice: str) -> None:
    with pytest.raises(ModelError, match=f"{question}={choice} is not built yet"):
        require_built(Design(**{question: choice}))
    with pytest.raises(ModelError, match="not built yet"):
        load_model("diffews", {"random": "tiny", question: choice})
