"""What `bench train` of a diffusion stage is told: by a preset or a file, and the command line."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from benchmarks.errors import BenchError
from benchmarks.train.config import TrainConfig
from datasets_prep.formats.yamltext import load_yaml
from models.methods.diffews.design import Design
from models.methods.diffews.options import Resolution
from models.methods.diffews.synthetic import Size
from models.registry import unknown

StageName = Literal["vae", "unet", "diffews"]

# What no training of a kind reads, by setting or section.
_NO_EPISODES = frozenset(
    {"augment", "copies", "shots", "sample", "train_tokens", "validation", "denoising_steps"}
    | {"design", "train.gradient_checkpointing"}
)
_UNREAD: Mapping[str, frozenset[str]] = {
    "vae": _NO_EPISODES | {"prompt_tokens"},
    "unet": _NO_EPISODES | {"crop"},
    "diffews": frozenset({"crop"}),
    "ablate": frozenset({"crop", "design"}),
}


class Job(BaseModel):
    """One training, but for where things lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = Field("sd21", description="of the network, where none is given to start from")
    resolution: Resolution = Field(
        512, description="side of the square that images fill, a multiple of 8"
    )
    crop: Resolution = Field(
        64, description="side of the crops that a VAE is trained on, a multiple of 8"
    )
    augment: bool = Field(
        False, description="mirror images, and reorder an episode's colour channels"
    )
    copies: float = Field(
        0.0, ge=0, le=1, description="share of episodes whose first support is the query itself"
    )
    shots: PositiveInt = Field(
        5, description="most supports of an episode, a step drawing 1..shots"
    )
    sample: bool = Field(True, description="sample latents, as the authors train; else their mean")
    prompt_tokens: Literal[2, 77] = Field(77, description="length of the empty prompt in training")
    train_tokens: bool = Field(
        False, description="train the image encoder of tokenized_cross_attention whole"
    )
    validation: int = Field(100, ge=0, description="episodes of a validation")
    denoising_steps: PositiveInt = Field(10, description="DDIM steps of a validation")
    design: Design = Design()
    train: TrainConfig = TrainConfig()


def presets() -> dict[str, Path]:
    """The settings that come with the suite, by name."""
    folder = Path(str(files("benchmarks.train") / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_job(config: str | None, changes: Mapping[str, str], reader: str | None = None) -> Job:
    """The job in a preset or YAML file, changed.

    Args:
        config: name of a preset, or a file, which several stages may share; None for the defaults.
        changes: values by dotted name, such as {"train.steps": "100", "design.shots": "trained"}.
        reader: the stage, or "ablate", whose settings alone may be changed; None for any.

    Raises:
        BenchError: naming the file or the option and the first setting that is wrong or unread.
    """
    body = {} if config is None else _read(config)
    for name, text in changes.items():
        if reader is not None and {name, name.partition(".")[0]} & _UNREAD[reader]:
            raise BenchError(f"{name}: {reader} does not read this setting; leave it out")
        *sections, last = name.split(".")
        place = body
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise BenchError(f"{config}: {section}: expected settings, found {place!r}")
        try:
            place[last] = load_yaml(text)
        except yaml.YAMLError:
            raise BenchError(f"{name}: {text!r} is not a YAML value") from None
    try:
        return Job.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = f": {unknown('setting', where, settings())}"
        where_from = f"{config}: " if config else ""
        message = first["msg"].removeprefix("Value error, ")
        raise BenchError(f"{where_from}{where}: {message}{hint}") from None


def settings() -> list[str]:
    """All settings, by their dotted names."""
    inner: dict[str, type[BaseModel]] = {"design": Design, "train": TrainConfig}
    names = [name for name in Job.model_fields if name not in inner]
    return names + [
        f"{part}.{name}" for part, model in inner.items() for name in model.model_fields
    ]


def explained() -> list[tuple[str, object, str]]:
    """All settings with their defaults and descriptions."""
    default = Job()
    rows: list[tuple[str, object, str]] = []
    for name in settings():
        *sections, last = name.split(".")
        value: Any = getattr(default, sections[0]) if sections else default
        field = type(value).model_fields[last]
        rows.append((name, getattr(value, last), field.description or _choices(field.annotation)))
    return rows


def _choices(kind: Any) -> str:
    return ", ".join(map(str, get_args(kind)))


def _read(config: str) -> dict[str, Any]:
    known = presets()
    path = known.get(config, Path(config))
    if not path.is_file():
        raise BenchError(f"no file {config}, nor a preset of that name: {', '.join(known)}")
    try:
        body = load_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BenchError(f"cannot read {path}: {error}") from None
    if not isinstance(body, dict):
        raise BenchError(f"{path}: expected settings such as `resolution: 512`, one a line")
    return body
