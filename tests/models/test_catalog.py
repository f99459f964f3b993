"""Names, options and cards: what a wrong one is answered with."""

import pytest

from models.backbones import BACKBONES
from models.catalog import GROUPS, MODELS, Card, load_model, parse_options, tiny_options
from models.errors import ModelError
from models.geometry import Native, Squash
from models.methods.floors import CentrePrior
from models.methods.patches import OverPatches
from models.registry import Registry
from models.segmenter import Segmenter
from models.weights.published import MODELS as PUBLISHED


def test_an_unknown_model_is_answered_with_the_nearest():
    with pytest.raises(ModelError, match="unknown model 'prototyp'; did you mean prototype"):
        load_model("prototyp")


def test_a_name_like_none_is_answered_with_all():
    with pytest.raises(ModelError, match=r"known are: .*all-foreground.*dense-nn"):
        load_model("zzz")


def test_names_resolve_only_when_asked_for():
    table = Registry("thing", {"broken": "no.such.module:Nothing", "pi": "math:pi"})
    assert list(table) == ["broken", "pi"]
    assert "broken" in table
    assert table["pi"] == pytest.approx(3.14159, abs=1e-5)
    with pytest.raises(ModuleNotFoundError):
        table["broken"]


def test_the_registrys_error_is_the_callers():
    with pytest.raises(LookupError, match="unknown thing"):
        Registry("thing", {}, error=LookupError)["x"]


@pytest.mark.parametrize("name", GROUPS["floors"])
def test_floors_load_without_options(name: str):
    model = load_model(name)
    assert isinstance(model, Segmenter)
    assert model.card.kind == ("oracle" if name == "oracle-box" else "floor")
    assert model.weights_digest is None and model.parameters == 0


def test_every_backbone_is_there():
    assert all(callable(build) for build in BACKBONES.values())


@pytest.mark.parametrize("name", [n for n in MODELS if n in (*GROUPS["floors"], "prototype")])
def test_options_describe_themselves(name: str):
    cls = MODELS[name]
    assert isinstance(cls.card, Card)
    assert all(field.description for field in cls.Options.model_fields.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": 0.5}, "model centre-prior: unknown option 'shares'; did you mean share"),
        ({"share": 1.5}, "model centre-prior: option share: .*less than 1"),
        ({"share": "much"}, "model centre-prior: option share: .*number"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], message: str):
    with pytest.raises(ModelError, match=message):
        parse_options("centre-prior", CentrePrior, options)


def test_options_are_read_from_text_and_frozen():
    options = parse_options("dense-nn", OverPatches, {"size": "64"})
    assert options.size == 64
    with pytest.raises(ValueError, match="frozen"):
        options.size = 32


def test_a_size_is_a_number_or_native():
    assert parse_options("dense-nn", OverPatches, {"size": "native"}).size == "native"
    with pytest.raises(ModelError, match=r"option size: .*integer.* or .*'native'"):
        parse_options("dense-nn", OverPatches, {"size": "naive"})


def test_backbone_and_layer_names_are_answered_with_the_nearest():
    with pytest.raises(ModelError, match="unknown backbone 'resnet5'; did you mean resnet50"):
        load_model("prototype", {"backbone": "resnet5"})
    with pytest.raises(ModelError, match=r"efficientnet-lite0: unknown layer 'blok10'.*block10"):
        load_model("prototype", {"layer": "blok10", "weights": "random"})


def test_an_unknown_dtype_is_answered_with_all():
    with pytest.raises(ModelError, match="unknown dtype 'float8'; use fp32, fp16, bf16"):
        load_model("prototype", {"weights": "random"}, dtype="float8")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_of_preprocessing_is_what_models_do(name: str):
    known = PUBLISHED[name]
    geometry = load_model(name, tiny_options(name) or {}).geometry
    if known.pixels.startswith("own size"):
        assert isinstance(geometry, Native) and known.side is None
        return
    how = "squashed" if isinstance(geometry, Squash) else "longest side, padded"
    assert known.pixels.split(";")[0] == f"{how}, {geometry.filter}"
    assert known.side is not None
    if tiny_options(name) is None:
        assert geometry.size == known.side
