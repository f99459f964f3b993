"""`run.json`: a result that explains itself."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import BenchError, first_wrong
from benchmarks.evaluation.metrics import Metric
from datasets_prep.runtime.whole import write_whole

SCHEMA = 1

# Results of former versions say "1 threads".
Hardware = Annotated[str, AfterValidator(lambda text: text.replace(", 1 threads", ", 1 thread"))]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Record = TypeVar("Record", bound=_Record)


class TrainingRecord(_Record):
    """A dataset whose masks a model was trained on."""

    dataset: str
    fold: int | None = Field(description="whose base classes it saw; None for all classes")
    source: str = Field(description="who says so: the checkpoint's file, its folder, the user, ...")


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
    trained_fold: int | None = Field(
        None, description="the only fold that its weights were trained for, and may be tested on"
    )
    trained_on: tuple[TrainingRecord, ...] | None = Field(
        None, description="as far as it is known; None in results from before it was recorded"
    )
    text_prompts: bool = Field(False, description="whether words name the class to the model")
    source_digest: str | None = Field(
        None, description="of all files that a model is made of which is not the suite's"
    )


class DatasetRecord(_Record):
    """Which data it was measured on."""

    name: str
    digest: str = Field(description="what the result is bound to; see `labels_alone`")
    lists: str
    folds: int = Field(ge=1, le=10**4, description="how many folds the dataset has")
    classes: dict[int, str] = Field(description="the fold's novel classes")
    labels_digest: str | None = Field(
        None, description="over labels and lists alone, where the dataset has such a digest"
    )
    untested: tuple[int, ...] = Field(
        (), description="folds that a dataset in part has no class to test in"
    )

    @property
    def labels_alone(self) -> bool:
        """Whether the model reads no pixels, so that images do not matter to the result."""
        return self.digest == self.labels_digest

    @property
    def tested(self) -> tuple[int, ...]:
        """The folds that there are results of."""
        return tuple(fold for fold in range(self.folds) if fold not in self.untested)


class EpisodesRecord(_Record):
    """Which episodes were run."""

    recipe: str
    digest: str = Field(description="of the whole list, also where it was cut")
    count: int = Field(ge=0, le=10**7, description="episodes that were run")
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
    """How much work the cache saved in the last sitting, over all workers."""

    image_encodes: int = Field(0, description="an image counts once for each part kept by itself")
    support_encodes: int = 0
    naive_image_encodes: int = Field(
        0, description="without a cache: every query, supports too if needed, in all parts"
    )
    naive_support_encodes: int = Field(0, description="without a cache: K an episode")
    peak_bytes: int = Field(0, description="of the worker that held most")

    def __add__(self, other: "CacheRecord") -> "CacheRecord":
        """Both together."""
        return CacheRecord(
            image_encodes=self.image_encodes + other.image_encodes,
            support_encodes=self.support_encodes + other.support_encodes,
            naive_image_encodes=self.naive_image_encodes + other.naive_image_encodes,
            naive_support_encodes=self.naive_support_encodes + other.naive_support_encodes,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
        )


class StagesRecord(_Record):
    """Where the last sitting's time went, in seconds over all workers; a GPU's stages overlap."""

    load: float = Field(0.0, description="waiting for images and masks that were not decoded ahead")
    encode_images: float = 0.0
    encode_supports: float = 0.0
    segment: float = 0.0
    score: float = Field(0.0, description="scores to masks on the evaluation grid, and counting")

    def __add__(self, other: "StagesRecord") -> "StagesRecord":
        """Both together."""
        mine, theirs = self.model_dump(), other.model_dump()
        return StagesRecord(**{name: round(mine[name] + theirs[name], 6) for name in mine})


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
    metrics: tuple[Metric, ...] = Field(
        (), description="what was counted beside the areas; see `evaluation.metrics.METRICS`"
    )


class RunRecord(_Record):
    """One result: one (model, dataset, protocol, fold, shots)."""

    schema_version: int = SCHEMA
    setup: Setup
    miou: float = Field(description="0..1")
    fb_iou: float = Field(description="0..1")
    class_iou: dict[int, float] = Field(description="0..1, by class index")
    started: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(description="measuring time, over all sittings and workers")
    sittings: int = Field(description="1 + how often it was resumed")
    episodes_per_second: float = Field(description="of one worker")
    milliseconds_per_episode: float = Field(description="median")
    peak_memory_bytes: int = Field(description="of the worker that needed most")
    hardware: Hardware
    engine: str = Field("local", description="where the last sitting's work was done")
    workers: int = Field(1, description="that did the last sitting's work; of all shards together")
    cache: CacheRecord | None = Field(description="None for masks of an outside program")
    stages: StagesRecord | None = Field(None, description="None where they were not timed")
    versions: dict[str, str]
    revision: str | None = Field(description="git revision of the suite, with + if modified")


class Course(_Record):
    """How the measuring went and where; see `RunRecord`."""

    started: str
    hardware: Hardware
    peak_memory_bytes: int
    cache: CacheRecord | None
    stages: StagesRecord | None = None
    engine: str = "local"
    workers: int = 1
    versions: dict[str, str]
    revision: str | None


class ShardRecord(_Record):
    """A finished shard of a run; its rows are in the journal beside it."""

    schema_version: int = SCHEMA
    setup: Setup
    shard: int = Field(description="from 1")
    shards: int
    queries: dict[int, str] = Field(description="the query image of each of its episodes")
    sittings: int
    code: dict[str, str] = Field(description="names the code that measured it, in all sittings")
    course: Course


def write_record(path: Path, record: RunRecord | ShardRecord) -> None:
    """Write `run.json` or `shard.json`, whole or not at all."""
    write_whole(path, record.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> RunRecord:
    """Read a `run.json`.

    Raises:
        BenchError: naming the file and the first field that is wrong.
    """
    return _read(path, RunRecord)


def read_shard(path: Path) -> ShardRecord:
    """Read a `shard.json`.

    Raises:
        BenchError: naming the file and the first field that is wrong.
    """
    return _read(path, ShardRecord)


def _read(path: Path, kind: type[Record]) -> Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        raise BenchError(f"{path} is not a result: {first_wrong(error)}") from None
