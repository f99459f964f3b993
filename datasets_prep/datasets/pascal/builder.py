"""Prepare PASCAL-5i from the archives of VOC 2012 and SBD."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.pascal.release import CLASSES, VOC2012_SBD, ListName, Release
from datasets_prep.prepared.folds import FoldSet, NovelInTrain
from datasets_prep.prepared.list_report import REPORT
from datasets_prep.prepared.partial import PhotographOptions, named, partial_folds

# Help texts import this module; what decodes images waits inside `build`.
if TYPE_CHECKING:
    from datasets_prep.datasets.pascal.images import Measured
    from datasets_prep.datasets.pascal.lists import ListFiles
    from datasets_prep.datasets.pascal.union import Annotations

_TITLE = "SegmentationClassAug"


class PascalOptions(PhotographOptions):
    """Choices that give different fold lists of the same images, or fewer images."""

    lists: ListName = Field(
        default="published",
        description="Fold lists: HSNet's files, or derived anew by OSLSM's or PFENet's rule.",
    )
    novel: NovelInTrain = Field(
        default="background",
        description="Novel classes in training images: background (most codebases), ignore "
        "(RePRI), or drop the image (BAM).",
    )
    only: Literal["eval"] | None = Field(
        default=None,
        description="Leave images out: eval keeps the 1,449 of VOC val, on which all folds are "
        "tested; SBD is then not needed.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.partial and self.lists != "published":
            raise ValueError("--partial needs --lists published: it tells what of them is missing")
        return self


class Pascal(BaseBuilder[PascalOptions, Release]):
    """PASCAL-5i: 12,031 images, 20 classes, four folds of five novel classes."""

    name: ClassVar[str] = "pascal"
    summary: ClassVar[str] = "PASCAL-5i: VOC 2012 with SBD's annotations, 20 classes in 4 folds"
    official: ClassVar[Release] = VOC2012_SBD
    Options: ClassVar[type[BuilderOptions]] = PascalOptions

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""
        return named(self.name, self.options)

    def sources(self) -> Sequence[SourceFile]:
        """The archives, or label maps in SBD's place, and the lists to use or to compare with."""
        release, options = self.release, self.options
        lists = list(self._lists.values())
        if options.lists == "pfenet" and options.only is None:
            lists.append(release.pfenet_train)
        maps = replace(release.sbd, instead=(release.ready_made,), optional=options.partial)
        if options.only is not None:
            maps = replace(release.ready_made, optional=True)
        return (release.voc, maps, *lists)

    @property
    def _lists(self) -> Mapping[str, SourceFile]:
        wanted = "val/" if self.options.only == "eval" else ""
        return {n: f for n, f in self.release.fold_lists.items() if n.startswith(wanted)}

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
        from datasets_prep.datasets.pascal.union import Annotations, held_out, located, union

        voc = workspace.unpacked(self.release.voc)
        others = Annotations(
            self._if_there(workspace, self.release.sbd),
            self._if_there(workspace, self.release.ready_made),
        )
        notes = self._examined(voc, others, workspace)
        only, partly = self.options.only, self.options.partial
        annotations = union(voc, others) if only is None else held_out(voc, others)
        items = located(voc, annotations, workspace, images=self.options.images, partial=partly)
        files = ListFiles(
            {name: workspace.sources[file.name] for name, file in self._lists.items()},
            workspace.sources.get(self.release.pfenet_train.name),
            workspace.faults.left_out,
            tested_only=self.options.only == "eval",
        )
        measured = measure_all(items, workspace.jobs, workspace.progress, workspace.faults)
        if not partly and only is None and self.release.masks not in (None, len(measured)):
            notes.append(f"{_TITLE} has {len(measured):,} masks, not {self.release.masks:,}")
            workspace.progress.note(notes[-1])
        if not self.options.images:
            notes.append("label maps and lists alone, without images")
        return Content(
            classes=CLASSES,
            images=with_labels(items, measured),
            folds=partial(self._folds, workspace, files, measured),
            count=len(measured),
            notes=tuple(notes),
            labels_digest=True,
        )

    def _examined(self, voc: Path, others: "Annotations", workspace: Workspace) -> list[str]:
        """What there is to say of ready-made label maps, where they are used."""
        from datasets_prep.datasets.pascal.ready_made import examined
        from datasets_prep.datasets.pascal.union import voc_ids

        if others.ready_made is None:
            return []
        own = voc / "SegmentationClass"
        known = self.release.known
        own_maps = own if own.is_dir() else None
        return examined(others.ready_made, own_maps, voc_ids(voc), known, workspace)

    def _if_there(self, workspace: Workspace, source: SourceFile) -> Path | None:
        return workspace.unpacked(source) if source.name in workspace.sources else None

    def _folds(
        self,
        workspace: Workspace,
        files: "ListFiles",
        measured: Sequence["Measured"],
        areas: Areas,
        splits: Splits,
    ) -> FoldSet:
        from datasets_prep.datasets.pascal.lists import make_folds, published_folds
        from datasets_prep.datasets.pascal.report import check_lists

        hits = {result.record.image_id: result.hits for result in measured}
        if self.options.partial:
            whole = published_folds(files, self.options.novel)
            return partial_folds(whole, areas, CLASSES, workspace.root)
        folds = make_folds(self.options.lists, self.options.novel, files, areas, hits, splits)
        if self.options.only == "eval":
            (workspace.root / REPORT).unlink(missing_ok=True)  # it tells of more images
            return folds
        counts = self.release.counts.get(self.options.lists)
        return check_lists(folds, files, areas, hits, counts, workspace.root, workspace.progress)
