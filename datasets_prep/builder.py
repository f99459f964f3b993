"""What a dataset must say of itself to be prepared. A new one is one file and one catalog line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from datasets_prep.archives.sources import SourceFile, contents
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.progress import Progress

if TYPE_CHECKING:
    from datasets_prep.prepared.records import ImageRecord

Areas = Mapping[str, Mapping[int, int]]  # image id -> class -> pixels
Splits = Mapping[str, str]  # image id -> split


class BuilderOptions(BaseModel):
    """Base of every builder's options: frozen, and unknown keys are refused.

    `bench prepare NAME` makes its flags from the fields: their names, types, defaults and
    descriptions. A field marked `json_schema_extra={"argument": True}` is positional.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Workspace:
    """Where and how a builder may work.

    Attributes:
        root: the dataset's folder; unless images are embedded, their files must lie in it.
        raw: `root/raw`, for downloads, extracted archives and what is converted from them.
        sources: path of every source file or extracted folder, by the source's name.
        jobs: number of processes to use at most.
        progress: told about everything that takes long.
        embed_images: whether the table takes in the images' bytes, so that their files may lie
            anywhere.
        shots: of the episode lists that will be drawn.
        faults: judges what is wrong with single images and annotations; whatever it leaves out
            must be in neither images nor folds.
    """

    root: Path
    raw: Path
    sources: Mapping[str, Path]
    jobs: int
    progress: Progress
    embed_images: bool = False
    shots: Sequence[int] = ()
    faults: Faults = field(default_factory=Faults)

    def unpacked(self, source: SourceFile) -> Path:
        """The folder with a source's content; see `contents`."""
        return contents(source, self.sources[source.name], self.raw, self.progress)


@dataclass(frozen=True)
class Content:
    """What a builder makes of its sources.

    Attributes:
        classes: names, by class index.
        images: every image once, in a fixed order whatever the number of jobs.
        folds: makes the folds once all images are known, from areas and splits.
        count: number of images, for progress; None where it is not known yet.
        notes: what a user should know, kept in the manifest.
        labels_digest: whether results of models that read no pixels are bound to a digest over
            labels and lists alone, so that they need no images.
    """

    classes: tuple[str, ...]
    images: "Iterable[ImageRecord]"
    folds: Callable[[Areas, Splits], FoldSet]
    count: int | None = None
    notes: tuple[str, ...] = field(default=())
    labels_digest: bool = False


class Builder(Protocol):
    """A dataset that can be prepared.

    Constructed with its options: `Builder(options)`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    version: ClassVar[int]  # raised when the same sources give other content
    Options: ClassVar[type[BuilderOptions]]

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""

    def sources(self) -> Sequence[SourceFile]:
        """Files to be had before `build`; empty for generated or local data."""

    def describe(self) -> Mapping[str, object]:
        """Options that shape the content, for the manifest; no paths of this machine."""

    def disk_needed(self) -> int:
        """Bytes that preparation needs on disk beside its sources, about."""

    def build(self, workspace: Workspace) -> Content:
        """Make the content; checks everything it can before yielding the first image.

        Raises:
            DatasetError: naming every file that is wrong.
        """


Own = TypeVar("Own", bound=BuilderOptions)
Source = TypeVar("Source")


class BaseBuilder(Generic[Own, Source]):
    """What most builders have in common; `Builder` says what all must have.

    Args:
        options: the user's choices; all of them shape the content.
        release: the files that the dataset is made from, and what is published of it; the official
            one where it is left out.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    official: ClassVar[Any] = None
    Options: ClassVar[type[BuilderOptions]] = BuilderOptions

    def __init__(self, options: Own, release: Source | None = None) -> None:
        self.options = options
        self.release: Source = self.official if release is None else release

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""
        return self.name

    def describe(self) -> Mapping[str, object]:
        """Options that shape the content."""
        return self.options.model_dump()
