"""`run.json`: a result that explains itself."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import BenchError

SCHEMA = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelRecord(_Record):
    """Which model made the predictions."""

    name: str
    title: str
    kind: str = Field(description='"model", "floor", "oracle" or "predictions"')
    config: dict[str, object]
    weights_digest: str | None
    parameters: int
    comparable: bool = Field(description="False for previews and random weights")
    sees_test_classes: str = Field(description="yes, no, partly or unknown")


class DatasetRecord(_Record):
    """Which data it was measured on."""

    name: str
    digest: str
    lists: str
    folds: int = Field(description="how many folds the dataset has")
    classes: dict[int, str] = Field(description="the fold's novel classes")


class EpisodesRecord(_Record):
    """Which episodes were run."""

    recipe: str
    digest: str = Field(description="of the whole list, also where it was cut")
    count: int = Field(description="episodes that were run")
    limit: int | None = Field(None, description="only the first so many of the list")


class ProtocolRecord(_Record):
    """What fixed the number."""

    name: str
    resolution: str
    seed: str
    ignore: str
    aggregation: str
    undrawn: Literal["zero", "left out"]
    runs: int


class CacheRecord(_Record):
    """How much work the cache saved in the last sitting."""

    image_encodes: int
    support_encodes: int
    naive_image_encodes: int = Field(
        description="without a cache: every query, supports too if needed"
    )
    naive_support_encodes: int = Field(description="without a cache: K an episode")
    peak_bytes: int


class Setup(_Record):
    """Everything that fixes the counts: a resumed run must share it to the letter."""

    model: ModelRecord
    dataset: DatasetRecord
    protocol: ProtocolRecord
    episodes: EpisodesRecord
    fold: int
    shots: int
    device: str = Field(description='"cpu" or "cuda"')
    dtype: str
    batch_size: int


class RunRecord(_Record):
    """One result: one (model, dataset, protocol, fold, shots)."""

    schema_version: int = SCHEMA
    setup: Setup
    miou: float = Field(description="0..1")
    fb_iou: float = Field(description="0..1")
    class_iou: dict[int, float] = Field(description="0..1, by class index")
    started: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(description="measuring time, over all sittings")
    sittings: int = Field(description="1 + how often it was resumed")
    episodes_per_second: float
    milliseconds_per_episode: float = Field(description="median")
    peak_memory_bytes: int
    hardware: str
    cache: CacheRecord | None = Field(description="None for masks of an outside program")
    versions: dict[str, str]
    revision: str | None = Field(description="git revision of the suite, with + if modified")


def write_record(path: Path, record: RunRecord) -> None:
    """Write `run.json`, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_record(path: Path) -> RunRecord:
    """Read a `run.json`.

    Raises:
        BenchError: naming the file and the first field that is wrong.
    """
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "text"
        raise BenchError(f"{path} is not a result: {where}: {first['msg']}") from None
