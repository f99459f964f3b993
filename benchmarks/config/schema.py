"""The run matrix, as `bench.yaml` holds it: datasets × protocols × folds × shots × models."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from benchmarks.evaluation.metrics import Metric, known_metrics
from benchmarks.protocols.catalog import DEFAULT_PROTOCOL
from models.errors import ModelError
from models.weights.trained_on import parse

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(value: Any) -> Any:
    """A number of bytes from `2GB`, `512 MiB` or a plain number; else unchanged."""
    if not isinstance(value, str):
        return value
    digits = value.strip().rstrip("kKmMgGiIbB ")
    unit = value.strip()[len(digits) :].strip().upper()
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ValueError(f"{value!r} is not a size such as 512MiB or 2GB") from None


def at_home(path: Path) -> Path:
    """A path whose `~` or `~user` at the beginning is that user's home folder.

    Raises:
        ValueError: if there is none.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(
            f"there is no home folder for {path.parts[0]}; write the whole path"
        ) from None


def _listed(value: Any) -> Any:
    """One name as a list of one; else unchanged."""
    return (value,) if isinstance(value, str) else value


def _once(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Each number once, in the order of the first: twice it would count twice in a mean."""
    return tuple(dict.fromkeys(numbers))


def _kind(value: Any) -> Any:
    """Predictions that are just kept are kept as PNG."""
    return "png" if value is True else value


Root = Annotated[Path, AfterValidator(at_home)]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CacheConfig(_Config):
    """Byte budgets of the feature cache."""

    device: Bytes = Field(4 * 2**30, description="features kept on the GPU (unused on a CPU)")
    host: Bytes = Field(4 * 2**30, description="features kept in main memory")


class DatasetConfig(_Config):
    """One dataset and what to run on it."""

    name: str
    protocol: str = DEFAULT_PROTOCOL
    folds: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_once)] | None = Field(
        None, description="all folds where there are none"
    )
    shots: Annotated[tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(_once)] = (1, 5)


class ModelConfig(_Config):
    """One model under the name that its results get."""

    name: str
    model: str | None = Field(
        None, description="a registered model, module:Class or a file; `name` where it is left out"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    trained_on: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="DATASET:FOLD, or DATASET for all classes, where no checkpoint says it"
    )

    @field_validator("trained_on")
    @classmethod
    def _readable(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            try:
                parse(entry.replace("{fold}", "0"))
            except ModelError as error:
                raise ValueError(str(error)) from None
        return entries

    @property
    def target(self) -> str:
        """What to load."""
        return self.model or self.name


class BenchConfig(_Config):
    """Everything `bench run` needs."""

    data_root: Root = Path("data")
    results_root: Root = Path("results")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    batch_size: PositiveInt | Literal["auto"] = "auto"
    limit: PositiveInt | None = Field(None, description="only the first so many episodes a list")
    custom_code: bool = Field(True, description="whether a model may be code of the user's own")
    threads: PositiveInt = Field(2, description="threads that decode images ahead")
    metrics: Annotated[
        tuple[Metric, ...], BeforeValidator(_listed), AfterValidator(known_metrics)
    ] = Field((), description="what is counted beside the areas: boundary, for Boundary IoU")
    save_predictions: Annotated[Literal[False, "png", "rle"], BeforeValidator(_kind)] = Field(
        False, description="keep every predicted mask: png (true), or rle, one table a run"
    )
    cache: CacheConfig = CacheConfig()
    engine: Literal["local", "ray"] = Field("local", description="this machine, or a Ray cluster")
    address: str | None = Field(
        None, description="of a Ray cluster: auto, ray://host:port; one is started if None"
    )
    workers: PositiveInt | None = Field(
        None, description="processes, one on each device; None is this process, or a whole cluster"
    )
    worker_threads: PositiveInt | None = Field(
        None, description="threads that a worker computes with; None shares out the processors"
    )
    datasets: tuple[DatasetConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()

    @field_validator("address")
    @classmethod
    def _only_of_a_cluster(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is not None and info.data.get("engine") != "ray":
            raise ValueError("only the ray engine has an address; say --engine ray too")
        return address
