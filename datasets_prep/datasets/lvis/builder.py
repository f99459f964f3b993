"""Prepare LVIS-92i: the val part of LVIS, whose images are of COCO's train2017 and val2017."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.coco.fetch import fetch_images
from datasets_prep.datasets.coco.images import Item
from datasets_prep.datasets.coco.lists import named_images
from datasets_prep.datasets.lvis.images import make_record
from datasets_prep.datasets.lvis.index import Entry, Index, read_index
from datasets_prep.datasets.lvis.lists import (
    ClassRule,
    Lists,
    derived_lists,
    fold_set,
    published_lists,
)
from datasets_prep.datasets.lvis.release import LVIS_V1, Release
from datasets_prep.datasets.lvis.report import without_pixels, write_lists_report
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.disk import ensure_space
from datasets_prep.runtime.parallel import ordered_results
from datasets_prep.runtime.walk import files_below

_ANNOTATIONS, _PICKLE = "lvis_v1_val.json", "lvis_val.pkl"
_INSTEAD = "train2017.zip and val2017.zip without --only"


class LvisOptions(BuilderOptions):
    """Choices that give other classes, other lists, or fewer images."""

    classes: ClassRule = Field(
        default="per-shot",
        description="Which classes are tested: those with more images than an episode has "
        "supports, others for every number of shots (Matcher), or those with more than five "
        "images, the same whatever the shots.",
    )
    lists: Literal["published", "derived"] = Field(
        default="published",
        description="Order of classes and images: Matcher's file, or by their ids.",
    )
    only: Literal["eval"] | None = Field(
        default=None,
        description="Leave images out: eval fetches the single images of the hsnet and fixed-v1 "
        "lists, without any image archive.",
    )


class Lvis(BaseBuilder[LvisOptions, Release]):
    """LVIS-92i: 19,809 images of LVIS v1 val, ten folds of 92 classes (1-shot)."""

    name: ClassVar[str] = "lvis"
    summary: ClassVar[str] = "LVIS-92i: LVIS v1 val, 92 classes in each of 10 folds"
    official: ClassVar[Release] = LVIS_V1
    Options: ClassVar[type[BuilderOptions]] = LvisOptions

    def sources(self) -> Sequence[SourceFile]:
        """The annotations, the image archives and the lists that the options ask for."""
        release, options = self.release, self.options
        return (
            release.annotations,
            *(release.images.values() if options.only is None else ()),
            *((release.lists,) if options.lists == "published" else ()),
        )

    def disk_needed(self) -> int:
        """The image table twice, and the single images, about."""
        return 500_000_000 if self.options.only is None else 3_500_000_000

    def build(self, workspace: Workspace) -> Content:
        """Index the annotations, make the folds and unite every image's instances.

        See `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        options, faults = self.options, workspace.faults
        file = workspace.unpacked(self.release.annotations) / _ANNOTATIONS
        index = read_index(file, workspace.progress, faults)
        derived = derived_lists(index.entries)
        lists = derived
        if options.lists == "published":
            lists = self._published(workspace, derived, index.classes)
        folds = fold_set(lists, len(index.classes), options.classes, workspace.shots, options.lists)
        paths = (
            self._archived(workspace, index.entries)
            if options.only is None
            else self._single(workspace, index, folds)
        )
        items = [
            Item(entry, "test", file, *paths[entry.name], "per-class")
            for entry in index.entries
            if entry.name in paths
        ]
        notes = write_lists_report(
            workspace.root,
            index,
            lists,
            derived,
            folds,
            options.classes,
            self.release.counts,
            workspace.progress,
        )
        if options.only == "eval":
            notes += (f"only the {len(items):,} images of the hsnet and fixed-v1 lists",)

        def kept(areas: Areas, _: Splits) -> FoldSet:
            left = faults.without(folds)
            return replace(left, notes=without_pixels(left, areas, index.classes))

        return Content(
            classes=index.classes,
            images=ordered_results(make_record, items, workspace.jobs, faults),
            folds=kept,
            count=len(items),
            notes=notes,
        )

    def _published(self, workspace: Workspace, annotated: Lists, classes: Sequence[str]) -> Lists:
        folder = workspace.unpacked(self.release.lists)
        found = sorted(path for path in files_below(folder) if path.name == _PICKLE)
        if len(found) != 1:
            raise DatasetError(f"{folder} holds {len(found)} files {_PICKLE}; is it another file?")
        return published_lists(found[0], annotated, classes, workspace.faults.left_out)

    def _archived(
        self, workspace: Workspace, entries: Sequence[Entry]
    ) -> dict[str, tuple[Path, Path]]:
        """Where each image is and is to lie; those outside the dataset's folder are copied."""
        paths: dict[str, tuple[Path, Path]] = {}
        copied: list[Path] = []
        for part, archive in self.release.images.items():
            folder = workspace.unpacked(archive)
            stays = workspace.embed_images or folder.is_relative_to(workspace.root)
            for entry in entries:
                here, _, name = entry.name.partition("/")
                if here == part:
                    kept = folder / name if stays else workspace.raw / "images" / entry.name
                    paths[entry.name] = (folder / name, kept)
                    if not stays and not kept.exists() and (folder / name).exists():
                        copied.append(folder / name)
        ensure_space(workspace.raw, sum(path.stat().st_size for path in copied))
        return paths

    def _single(
        self, workspace: Workspace, index: Index, folds: FoldSet
    ) -> dict[str, tuple[Path, Path]]:
        """The same for the images of the episode lists, fetched one by one."""
        tested = frozenset(named_images(self.dataset, folds, index.classes, workspace.shots))
        names = [entry.name for entry in index.entries if entry.image_id in tested]
        root = workspace.raw / "single"
        for part in self.release.images:
            fetch_images(
                [name.partition("/")[2] for name in names if name.startswith(f"{part}/")],
                root / part,
                f"{self.release.single}/{part}",
                workspace.progress,
                _INSTEAD,
            )
        return {name: (root / name, root / name) for name in names}
