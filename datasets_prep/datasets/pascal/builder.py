"""Prepare PASCAL-5i from the archives of VOC 2012 and SBD."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from datasets_prep.archives.sources import SourceFile, contents
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.pascal.release import CLASSES, VOC2012_SBD, ListName, Release
from datasets_prep.prepared.folds import FoldSet, NovelInTrain

# Help texts import this module; what decodes images waits inside `build`.
if TYPE_CHECKING:
    from datasets_prep.datasets.pascal.images import Measured
    from datasets_prep.datasets.pascal.lists import ListFiles


class PascalOptions(BuilderOptions):
    """Choices that give different fold lists of the same images."""

    lists: ListName = Field(
        default="published",
        description="Fold lists: HSNet's files, or derived anew by OSLSM's or PFENet's rule.",
    )
    novel: NovelInTrain = Field(
        default="background",
        description="Novel classes in training images: background (most codebases), ignore "
        "(RePRI), or drop the image (BAM).",
    )


class Pascal:
    """PASCAL-5i: 12,031 images, 20 classes, four folds of five novel classes."""

    name: ClassVar[str] = "pascal"
    summary: ClassVar[str] = "PASCAL-5i: VOC 2012 with SBD's annotations, 20 classes in 4 folds"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BuilderOptions]] = PascalOptions

    def __init__(self, options: PascalOptions, release: Release = VOC2012_SBD) -> None:
        self.options = options
        self.release = release

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""
        return self.name

    def sources(self) -> Sequence[SourceFile]:
        """The two archives and the lists to use or to compare with."""
        release = self.release
        lists = list(release.fold_lists.values())
        if self.options.lists == "pfenet":
            lists.append(release.pfenet_train)
        return (release.voc, release.sbd, *lists)

    def describe(self) -> Mapping[str, object]:
        """The options; both shape the fold lists."""
        return self.options.model_dump()

    def disk_needed(self) -> int:
        """Label maps and the image table, about."""
        return 300_000_000

    def build(self, workspace: Workspace) -> Content:
        """Convert and check every label map and image; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.pascal.images import measure_all, with_labels
        from datasets_prep.datasets.pascal.lists import ListFiles
        from datasets_prep.datasets.pascal.union import LABELS, union

        items = union(
            self._folder(workspace, self.release.voc),
            self._folder(workspace, self.release.sbd),
            workspace,
        )
        files = ListFiles(
            {name: workspace.sources[file.name] for name, file in self.release.fold_lists.items()},
            workspace.sources.get(self.release.pfenet_train.name),
            workspace.faults.left_out,
        )
        measured = measure_all(items, workspace.jobs, workspace.progress, workspace.faults)
        notes = []
        if self.release.masks not in (None, len(measured)):
            notes.append(f"{LABELS} has {len(measured):,} masks, not {self.release.masks:,}")
            workspace.progress.note(notes[0])
        return Content(
            classes=CLASSES,
            images=with_labels(items, measured),
            folds=partial(self._folds, workspace, files, measured),
            count=len(measured),
            notes=tuple(notes),
        )

    def _folder(self, workspace: Workspace, source: SourceFile) -> Path:
        path = workspace.sources[source.name]
        return contents(source, path, workspace.raw, workspace.progress)

    def _folds(
        self,
        workspace: Workspace,
        files: "ListFiles",
        measured: Sequence["Measured"],
        areas: Areas,
        splits: Splits,
    ) -> FoldSet:
        from datasets_prep.datasets.pascal.lists import make_folds
        from datasets_prep.datasets.pascal.report import check_lists

        hits = {result.record.image_id: result.hits for result in measured}
        folds = make_folds(self.options.lists, self.options.novel, files, areas, hits, splits)
        counts = self.release.counts.get(self.options.lists)
        return check_lists(folds, files, areas, hits, counts, workspace.root, workspace.progress)
