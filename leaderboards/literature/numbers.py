"""The literature's numbers, each with where it was read and how it was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks import BenchError, first_wrong
from leaderboards.statistics.scores import Row, Setting

_FILE = Path(__file__).with_name("published.yaml")

Percent = Annotated[float, Field(gt=0, lt=100)]
Shots = Annotated[int, Field(gt=0)]
ByShots = Mapping[Shots, Percent]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedProtocol(_Entry):
    """How a number was measured, as its authors' code does it."""

    text: str
    ours: str | None = Field(None, description="the protocol of this suite that follows it")


class PublishedResult(_Entry):
    """One method on one dataset."""

    method: str
    variant: str = ""
    dataset: str
    setting: Literal["strict", "generalist", "text-prompted"]
    protocol: str
    model: str | None = Field(None, description="the name under which this suite measures it")
    miou: ByShots = {}
    folds: Mapping[Shots, Sequence[Percent]] = {}
    fb_iou: ByShots = {}
    source: Annotated[Sequence[str], Field(min_length=1)]
    table: str = Field("", description="empty where its number was not recorded")
    note: str = ""

    @property
    def name(self) -> str:
        """The method and its variant: `HSNet (ResNet-50)`."""
        return f"{self.method} ({self.variant})" if self.variant else self.method


class Ablation(_Entry):
    """One answer to one of DiffewS's questions; no figure where only a bar was drawn."""

    question: str
    choice: str
    miou: Percent | None = None
    by_shots: ByShots = {}
    note: str = ""


class Published(_Entry):
    """`published.yaml`."""

    sources: Mapping[str, str]
    protocols: Mapping[str, PublishedProtocol]
    results: Sequence[PublishedResult]
    ablations: Sequence[Ablation]


@dataclass(frozen=True)
class Reported:
    """A published result at one number of shots, figures in percent.

    Attributes:
        entry: the rest of what is known of it.
        shots: supports an episode.
        miou: None where the source has FB-IoU alone.
        fb_iou: None where the source has none.
        folds: mIoU of each fold; empty where the source has none.
        protocol: how it was measured, in words.
        ours: the protocol of this suite that follows it; None where there is none.
        source: where it was read, in words.
    """

    entry: PublishedResult
    shots: int
    miou: float | None
    fb_iou: float | None
    folds: Sequence[float]
    protocol: str
    ours: str | None
    source: str


@cache
def published() -> Published:
    """What `published.yaml` holds."""
    return read_published(_FILE)


def read_published(path: Path) -> Published:
    """Read a file such as `published.yaml`.

    Raises:
        BenchError: naming the file and the first entry that is wrong.
    """
    try:
        return Published.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise BenchError(f"{path}: {first_wrong(error, 'the file')}") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise BenchError(f"cannot read {path}: {error}") from None


def reported() -> Iterator[Reported]:
    """Every published number, in the order of the file, 1-shot before 5-shot."""
    file = published()
    for entry in file.results:
        protocol = file.protocols[entry.protocol]
        for shots in sorted(entry.miou.keys() | entry.fb_iou.keys()):
            yield Reported(
                entry,
                shots,
                entry.miou.get(shots),
                entry.fb_iou.get(shots),
                entry.folds.get(shots, ()),
                protocol.text,
                protocol.ours,
                "; ".join(file.sources[name] for name in entry.source),
            )


def measured(number: Reported, settings: Sequence[Setting]) -> Row | None:
    """The row of this suite that answers a published number: same method, data and protocol."""
    for setting in settings:
        same = (setting.dataset, setting.protocol.name, setting.shots, setting.limit)
        if same == (number.entry.dataset, number.ours, number.shots, None):
            for row in setting.rows:
                strict = number.entry.setting == "strict"
                if row.ranked and row.model.name == number.entry.model and row.strict is strict:
                    return row
    return None
