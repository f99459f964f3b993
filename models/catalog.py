"""Every model by name, and the one way to load it. A new model is one file and one line here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ModelError
from models.registry import Registry, unknown

MODELS = Registry(
    "model",
    {
        "all-foreground": "models.floors:AllForeground",
        "copy-support-mask": "models.floors:CopySupportMask",
        "centre-prior": "models.floors:CentrePrior",
        "random": "models.floors:Random",
        "oracle-box": "models.floors:OracleBox",
        "prototype": "models.prototype:Prototype",
        "dense-nn": "models.dense_nn:DenseNN",
        "diffews": "models.diffews:DiffewS",
        "diffews-tiny": "models.diffews.shipped:DiffewSTiny",
        "seggpt": "models.seggpt:SegGPT",
        "clipseg": "models.clipseg:CLIPSeg",
        "persam": "models.persam:PerSAM",
        "persam-f": "models.persam_f:PerSAMF",
        "sam2-memory": "models.sam2_memory:SAM2Memory",
        "hsnet": "models.hsnet:HSNet",
        "patnet": "models.patnet:PATNet",
        "vrp-sam": "models.vrp_sam:VRPSAM",
        "insid3": "models.insid3:INSID3",
        "gf-sam": "models.gf_sam:GFSAM",
        "matcher": "models.matcher:Matcher",
    },
)

# Names that stand for several models on the command line and in bench.yaml.
GROUPS: dict[str, tuple[str, ...]] = {
    "floors": ("all-foreground", "copy-support-mask", "centre-prior", "random", "oracle-box"),
    "all": tuple(MODELS),
}


class Options(BaseModel):
    """Base of every model's options: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Card:
    """What a reader of the leaderboard must know about a model.

    `sees_test_classes` says per dataset whether training saw masks of the test classes: yes, no,
    partly or unknown; "*" is the default. Image labels, as in ImageNet, do not count: the
    literature's strict setting allows them. `trained_on` names datasets of the suite whose
    training masks the published weights saw, whatever is tested: a run says which test classes
    are among theirs.
    """

    title: str
    summary: str
    source: str = ""
    year: int | None = None
    weights: str = "none"
    licence: str = ""
    training_data: str = "none"
    trained_on: tuple[str, ...] = ()
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
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "options"
        raise ModelError(f"model {name}: option {where}: {first['msg']}") from None
