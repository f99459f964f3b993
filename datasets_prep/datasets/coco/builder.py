"""Prepare COCO-20i from the archives of COCO 2014, or from the few images that are tested on."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.coco.classes import CLASSES
from datasets_prep.datasets.coco.fetch import fetch_images
from datasets_prep.datasets.coco.images import Item, records
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.coco.lists import check_known, derived_folds, named_images, with_novel
from datasets_prep.datasets.coco.release import COCO2014, FOLDS, Release
from datasets_prep.datasets.coco.render import MaskMode
from datasets_prep.datasets.coco.report import check_lists
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import coco_folds
from datasets_prep.prepared.folds import FoldSet, NovelInTrain
from datasets_prep.prepared.list_report import REPORT
from datasets_prep.prepared.partial import PhotographOptions, named, partial_folds
from datasets_prep.prepared.records import Split
from datasets_prep.runtime.disk import ensure_space


class CocoOptions(PhotographOptions):
    """Choices that give other masks, other lists, or fewer images."""

    masks: MaskMode = Field(
        default="overlap-last",
        description="How outlines become labels: whole objects, later ones on top; first polygons "
        "(the published generator); or a mask for each class, which may overlap.",
    )
    lists: Literal["published", "derived"] = Field(
        default="published",
        description="Fold lists: HSNet's files, or all pairs of at least 2048 pixels.",
    )
    novel: NovelInTrain = Field(
        default="background",
        description="Novel classes in training images: background (most codebases), ignore "
        "(RePRI), or drop the image (BAM).",
    )
    only: Literal["test", "eval"] | None = Field(
        default=None,
        description="Leave images out: test keeps val2014 alone, eval only the single images of "
        "the hsnet and fixed-v1 lists, without any image archive.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.only == "eval" and self.lists != "published":
            raise ValueError("--only eval needs --lists published: others need every image's mask")
        if self.partial and self.lists != "published":
            raise ValueError("--partial needs --lists published: it tells what of them is missing")
        if self.partial and self.only == "eval":
            raise ValueError("--partial takes what is there, --only eval fetches: give one of them")
        return self


class Coco(BaseBuilder[CocoOptions, Release]):
    """COCO-20i: 122,218 annotated images, 80 classes, four folds of twenty novel classes."""

    name: ClassVar[str] = "coco"
    summary: ClassVar[str] = "COCO-20i: COCO 2014, 80 classes in 4 folds"
    official: ClassVar[Release] = COCO2014
    Options: ClassVar[type[BuilderOptions]] = CocoOptions

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""
        return named(self.name, self.options)

    def sources(self) -> Sequence[SourceFile]:
        """The annotations, the image archives and the lists that the options ask for."""
        release, only = self.release, self.options.only
        archives = {None: (release.train, release.val), "test": (release.val,), "eval": ()}[only]
        if not self.options.images:
            archives = ()
        elif self.options.partial:
            archives = tuple(replace(archive, optional=True) for archive in archives)
        wanted = ("val",) if only else ("trn", "val")
        lists = [file for name, file in release.fold_lists.items() if name.startswith(wanted)]
        return (
            release.annotations,
            *archives,
            *(lists if self.options.lists == "published" else ()),
        )

    def disk_needed(self) -> int:
        """The image table twice, and the single images, about."""
        if self.options.only == "eval":
            return 4_500_000_000 if self.options.images else 300_000_000
        return 2_000_000_000 if self.options.only is None else 700_000_000

    def build(self, workspace: Workspace) -> Content:
        """Index the annotations and render every image; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        published = self._published(workspace)
        items: list[Item] = []
        notes: tuple[str, ...] = ()
        if self.options.only is None:
            items += self._archived(workspace, self.release.train, "train")
        if self.options.only == "eval" and published is not None:
            items += self._single(workspace, published)
            notes = (f"only the {len(items):,} images of the hsnet and fixed-v1 lists",)
        else:
            items += self._archived(workspace, self.release.val, "test")
        if self.options.partial and not items:
            raise DatasetError("there is no photograph: give --from a folder that holds val2014/")
        if not self.options.images:
            notes = (*notes, "label maps and lists alone, without images")
        items = workspace.faults.once(
            items, lambda i: i.image_id, lambda i: i.image or i.annotations
        )
        return Content(
            classes=CLASSES,
            images=records(items, workspace.jobs, workspace.faults),
            folds=partial(self._folds, workspace, published),
            count=len(items),
            notes=notes,
            labels_digest=True,
        )

    def _published(self, workspace: Workspace) -> FoldSet | None:
        if self.options.lists != "published":
            return None
        parts = [
            [
                workspace.sources[self.release.fold_lists[f"{part}/fold{fold}.pkl"].name]
                for fold in range(FOLDS)
            ]
            for part in (("val",) if self.options.only else ("val", "trn"))
        ]
        return coco_folds(parts[0], None if self.options.only else parts[1])

    def _archived(self, workspace: Workspace, archive: SourceFile, split: Split) -> list[Item]:
        """All annotated images of an archive; those outside the dataset's folder are copied."""
        masks, file = self.options.masks, self._annotations(workspace, archive)
        if self.options.partial and archive.name not in workspace.sources:
            return []
        entries = read_index(file, workspace.progress, workspace.faults)
        if not self.options.images:
            return [Item(entry, split, file, None, None, masks) for entry in entries]
        folder = kept = workspace.unpacked(archive)
        if self.options.partial:
            entries = [entry for entry in entries if (folder / entry.name).is_file()]
        if not (workspace.embed_images or folder.is_relative_to(workspace.root)):
            kept = workspace.raw / f"{archive.stem}-copied"
            kept.mkdir(parents=True, exist_ok=True)
            paths = (folder / entry.name for entry in entries if not (kept / entry.name).exists())
            ensure_space(kept, sum(path.stat().st_size for path in paths if path.exists()))
        return [
            Item(entry, split, file, folder / entry.name, kept / entry.name, masks)
            for entry in entries
        ]

    def _single(self, workspace: Workspace, published: FoldSet) -> list[Item]:
        """The test images of the episode lists, fetched one by one."""
        file = self._annotations(workspace, self.release.val)
        tested = frozenset(named_images(self.dataset, published, CLASSES, workspace.shots))
        index = read_index(file, workspace.progress, workspace.faults)
        entries = [entry for entry in index if entry.image_id in tested]
        known = (entry.image_id for entry in entries)
        check_known(tested.difference(workspace.faults.left_out), known)
        masks = self.options.masks
        if not self.options.images:
            return [Item(entry, "test", file, None, None, masks) for entry in entries]
        folder = workspace.raw / f"{self.release.val.stem}-single"
        names = [entry.name for entry in entries]
        fetch_images(names, folder, self.release.single, workspace.progress)
        return [Item(e, "test", file, folder / e.name, folder / e.name, masks) for e in entries]

    def _annotations(self, workspace: Workspace, archive: SourceFile) -> Path:
        folder = workspace.unpacked(self.release.annotations)
        return folder / f"instances_{archive.stem}.json"

    def _folds(
        self, workspace: Workspace, published: FoldSet | None, areas: Areas, splits: Splits
    ) -> FoldSet:
        folds = published if published is not None else derived_folds(areas, splits)
        if self.options.only == "eval":
            (workspace.root / REPORT).unlink(missing_ok=True)  # it tells of more images
            return replace(folds, novel_in_train=self.options.novel)
        folds = workspace.faults.without(folds)
        if self.options.partial:
            folds = replace(folds, novel_in_train=self.options.novel)
            return partial_folds(folds, areas, CLASSES, workspace.root)
        check_known((i for fold in folds.folds for i, _ in (*fold.test, *fold.train)), areas)
        return check_lists(
            with_novel(folds, self.options.novel, areas),
            self.options.masks,
            areas,
            splits,
            self.release.counts,
            workspace.root,
            workspace.progress,
        )
