"""Every model by name, and the one way to load it. A new model is one file and one line here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ModelError
from models.registry import Registry, unknown

MODELS = Registry(
    "model",
    {
        "all-foreground": "models.methods.floors:AllForeground",
        "copy-support-mask": "models.methods.floors:CopySupportMask",
        "centre-prior": "models.methods.floors:CentrePrior",
        "random": "models.methods.floors:Random",
        "oracle-box": "models.methods.floors:OracleBox",
        "prototype": "models.methods.prototype:Prototype",
        "dense-nn": "models.methods.dense_nn:DenseNN",
        "diffews": "models.methods.diffews:DiffewS",
        "diffews-tiny": "models.methods.diffews.shipped:DiffewSTiny",
        "sd-features": "models.methods.sd_features:SDFeatures",
        "sd-incontext": "models.methods.sd_incontext:SDInContext",
        "seggpt": "models.methods.seggpt:SegGPT",
        "clipseg": "models.methods.clipseg:CLIPSeg",
        "persam": "models.methods.persam:PerSAM",
        "persam-f": "models.methods.persam:PerSAMF",
        "sam2-memory": "models.methods.sam2_memory:SAM2Memory",
        "sansa": "models.methods.sansa:SANSA",
        "fss-sam3": "models.methods.fss_sam3:FSSSAM3",
        "fss-sam3-text": "models.methods.fss_sam3:FSSSAM3Text",
        "hsnet": "models.methods.hsnet:HSNet",
        "patnet": "models.methods.patnet:PATNet",
        "vrp-sam": "models.methods.vrp_sam:VRPSAM",
        "insid3": "models.methods.insid3:INSID3",
        "fssdino": "models.methods.fssdino:FSSDINO",
        "dcama": "models.methods.dcama:DCAMA",
        "label-anything": "models.methods.label_anything:LabelAnything",
        "abcdfss": "models.methods.abcdfss:ABCDFSS",
        "gf-sam": "models.methods.gf_sam:GFSAM",
        "matcher": "models.methods.matcher:Matcher",
    },
)

# Names that stand for several models on the command line and in bench.yaml.
GROUPS: dict[str, tuple[str, ...]] = {
    "floors": ("all-foreground", "copy-support-mask", "centre-prior", "random", "oracle-box"),
    "all": tuple(MODELS),
}


class Options(BaseModel):
    """Base of every model's options: frozen, and unknown keys are refused.

    A number is taken where a text is wanted: a folder may be called `14000`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    def asks_random(self, model: str, *replaced: str) -> bool:
        """Whether the option `random` is given, which takes the place of the options `replaced`.

        Raises:
            ModelError: if one of these is given beside it.
        """
        if getattr(self, "random", None) is None:
            return False
        given = [n for n in replaced if n in self.model_fields_set and getattr(self, n) is not None]
        if given:
            raise ModelError(f"{model}: give the option {given[0]} or random, not both")
        return True


Tiny = Annotated[
    Literal["tiny"] | None,
    Field(description="random weights of this size in their place, for tests"),
]


@dataclass(frozen=True)
class Card:
    """What a reader of the leaderboard must know about a model.

    `sees_test_classes` says per dataset whether training saw masks of the test classes: yes, no,
    partly or unknown; "*" is the default. Image labels, as in ImageNet, do not count: the
    literature's strict setting allows them. `trained_on` names datasets of the suite whose
    training masks the published weights saw, whatever is tested: a run says which test classes
    are among theirs. `deviations` says where the authors' code gives something else. `text_prompts`
    says whether words name the class to the model.
    """

    title: str
    summary: str
    source: str = ""
    year: int | None = None
    weights: str = "none"
    licence: str = ""
    training_data: str = "none"
    trained_on: tuple[str, ...] = ()
    deviations: str = ""
    text_prompts: bool = False
    sees_test_classes: Mapping[str, str] | None = None
    kind: str = "model"  # "model", "floor" or "oracle"


def tiny_options(name: str) -> Mapping[str, Any] | None:
    """Options with which a model that lacks its weights runs at a tiny random size.

    None for a model that needs no weights, or has them at hand. A class says more with `tiny`.
    """
    cls = MODELS[name]
    usual = {"random": "tiny"} if "random" in cls.Options.model_fields else None
    options: Mapping[str, Any] | None = getattr(cls, "tiny", usual)
    return options


def load_model(
    name: str, options: Mapping[str, Any] | None = None, *, device: str = "cpu", dtype: str = "fp32"
) -> Any:
    """Build the model called `name`.

    Args:
        name: a name of `MODELS`.
        options: fields of the model's `Options`.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Returns:
        A `models.segmenter.Segmenter`.

    Raises:
        ModelError: for an unknown name, an unknown or ill-typed option, or missing weights.
    """
    cls = MODELS[name]
    return cls.load(parse_options(name, cls, options or {}), device=device, dtype=dtype)


def parse_options(name: str, cls: Any, options: Mapping[str, Any]) -> Options:
    """Validate `options` for model class `cls`; one message names the wrong key and the mend."""
    known = list(cls.Options.model_fields)
    for key in options:
        if key not in known:
            raise ModelError(f"model {name}: {unknown('option', key, known)}")
    try:
        return cls.Options(**options)  # type: ignore[no-any-return]
    except ValidationError as error:
        # One for each kind that the first wrong option may be of, such as a number or "native".
        found = [(str((*e["loc"], "options")[0]), e["msg"]) for e in error.errors()]
        where = found[0][0]
        said = " or ".join(message for option, message in found if option == where)
        raise ModelError(f"model {name}: option {where}: {said}") from None
