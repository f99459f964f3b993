"""Any folder of images with label maps, or with a folder of binary masks per class.

    DIR/images/NAME.jpg          jpg, png, webp, bmp or tif; folders below become part of the id
    DIR/labels/NAME.png          one channel of class numbers, or a palette; or
    DIR/masks/CLASS/NAME.png     one channel, 0 and one other value; or
    FILE.json                    outlines in COCO's form, or LabelMe's beside each image

There is no train and test part: every image serves on both sides of a fold, with its base
classes in the training list and its novel classes in the test list.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.folder.annotated import Found, find_coco, find_labelme
from datasets_prep.datasets.folder.fold_file import read_fold_file
from datasets_prep.datasets.folder.labels import Summary, flat, read_labels, summarise
from datasets_prep.datasets.folder.layout import (
    Entry,
    Problem,
    find_labelled,
    find_masked,
    has_masks,
    refuse_all,
)
from datasets_prep.datasets.folder.naming import LABEL_CLASSES, of_labels, of_masks
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.datasets.folder.remarks import (
    copies,
    refuse_binary_labels,
    remarks,
    shared_problems,
)
from datasets_prep.datasets.folder.values import Scheme
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import keep_copy, upright
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.rare import without_rare
from datasets_prep.prepared.records import (
    ImageRecord,
    encode_png,
    label_record,
    mask_record,
)
from datasets_prep.runtime.parallel import ordered_map
from datasets_prep.runtime.walk import files_below


class Folder:
    """A dataset made of a user's own files.

    Images are copied below `raw/images`, under names that end in the beginning of their sha256: a
    changed image never replaces a file that a dataset prepared earlier still points to.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "your own images with label maps or masks"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BuilderOptions]] = FolderOptions

    def __init__(self, options: FolderOptions) -> None:
        self.options = options

    @property
    def dataset(self) -> str:
        """The name under which the result is stored."""
        return self.options.name

    def sources(self) -> Sequence[SourceFile]:
        """None: the files are the user's."""
        return ()

    def describe(self) -> Mapping[str, object]:
        """All options but the places of files on this machine."""
        return self.options.model_dump(
            mode="json", exclude={"folder", "folds_file", "colors", "coco"}
        )

    def disk_needed(self) -> int:
        """As much again as the images and labels.

        Raises:
            DatasetError: if the folder is not there.
        """
        if self.options.coco is None and not self.options.folder.is_dir():
            raise DatasetError(f"{self.options.folder}: no such folder")
        tops = (self.options.folder / name for name in ("images", "labels", "masks"))
        known = [top for top in tops if top.is_dir()] or [self.options.folder]
        found = (path for top in known if top.is_dir() for path in files_below(top))
        return sum(path.stat().st_size for path in found if path.is_file())

    def build(self, workspace: Workspace) -> Content:
        """Check every file, then convert them one by one.

        Raises:
            DatasetError: naming everything that is wrong with the folder or the options.
        """
        options = self.options
        naming, entries, problems = self._find(workspace)
        classes, scheme = naming.classes, naming.scheme
        novel = self._novel(classes)
        if unknown := [name for name in options.without if name not in classes]:
            raise DatasetError(
                f"--without {unknown[0]}: no such class; there are {', '.join(classes)}"
            )
        problems += self._group_problems(entries)
        summaries = self._check(entries, scheme, workspace)
        problems += [
            problem._replace(name=entry.image_id)
            for entry, summary in zip(entries, summaries, strict=True)
            for problem in summary.problems
        ]
        bad = {problem.name for problem in problems} if workspace.faults.skip else frozenset()
        checked = [
            (entry, summary)
            for entry, summary in zip(entries, summaries, strict=True)
            if entry.image_id not in bad
        ]
        overlap = any(summary.overlap for _, summary in checked)
        as_masks = overlap or len(classes) > LABEL_CLASSES
        if as_masks:
            why = "overlapping masks" if overlap else f"masks of over {LABEL_CLASSES} classes"
            problems += [
                Problem(f"pixels to ignore, which {why} cannot keep", str(entry.image))
                for entry, summary in checked
                if summary.ignored
            ]
        problems += shared_problems(checked, options.by_index)
        if not entries and not problems:
            problems.append(Problem("no image", str(options.folder / "images")))
        refuse_all(
            options.folder, problems, workspace.faults, [entry.image_id for entry in entries]
        )
        refuse_binary_labels(checked, classes, options.folder)
        turned = any(summary.turned for _, summary in checked)
        convert = partial(
            _record,
            scheme=scheme,
            as_masks=as_masks,
            raw=None if workspace.embed_images or turned else workspace.raw / "images",
            as_bytes=turned,
        )
        pixels = {entry.image_id: summary.size[0] * summary.size[1] for entry, summary in checked}
        equal = {} if options.copies == "pair" else copies(checked)
        return Content(
            classes=classes,
            images=ordered_map(convert, checked, workspace.jobs),
            folds=partial(self._folds, classes, novel, pixels, equal, workspace.shots),
            count=len(checked),
            notes=(
                *naming.notes,
                *remarks(checked, classes, naming.typed and options.background),
            ),
        )

    def _find(self, workspace: Workspace) -> Found:
        options = self.options
        if options.coco is not None:
            return find_coco(options.coco, options, workspace)
        if options.labelme:
            return find_labelme(options)
        if has_masks(options.folder):
            naming = of_masks(options)
            return naming, *find_masked(options.folder, naming.classes, options.mask_suffix)
        entries, problems = find_labelled(options.folder, options.mask_suffix)
        return of_labels(options, entries, workspace), entries, problems

    def _check(
        self, entries: Sequence[Entry], scheme: Scheme, workspace: Workspace
    ) -> list[Summary]:
        summaries: list[Summary] = []
        for summary in ordered_map(partial(summarise, scheme=scheme), entries, workspace.jobs):
            summaries.append(summary)
            workspace.progress.update("checking files", len(summaries), len(entries))
        return summaries

    def _novel(self, classes: tuple[str, ...]) -> list[tuple[int, ...]]:
        options = self.options
        if options.folds_file is not None:
            return read_fold_file(options.folds_file, classes)
        if options.folds > len(classes):
            raise DatasetError(f"--folds {options.folds}: there are only {len(classes)} classes")
        return contiguous(len(classes), options.folds)

    def _group_problems(self, entries: Sequence[Entry]) -> list[Problem]:
        group = self.options.group
        if group is None:
            return []
        return [
            Problem(f"no match for --group {group}", entry.image_id)
            for entry in entries
            if (match := re.search(group, entry.image_id)) is None or match[1] is None
        ]

    def _folds(
        self,
        classes: Sequence[str],
        novel: Sequence[Sequence[int]],
        pixels: Mapping[str, int],
        equal: Mapping[str, str],
        shots: Sequence[int],
        areas: Areas,
        splits: Splits,
    ) -> FoldSet:
        share, options = self.options.min_area, self.options
        pairs = [
            (image, index)
            for image, held in areas.items()
            for index, area in held.items()
            if area >= share * pixels[image]
        ]
        every = FoldSet(
            split(novel, pairs, pairs), query_order="draw", group=options.group, copies=equal
        )
        without = [classes.index(name) for name in options.without]
        return without_rare(every, classes, shots, options.min_images, without)


def _record(
    item: tuple[Entry, Summary], scheme: Scheme, as_masks: bool, raw: Path | None, as_bytes: bool
) -> ImageRecord:
    """Convert one image, keeping a copy of its file below `raw` unless that is None.

    A turned image has no file that could be kept: it is stored as PNG and named by its pixels.
    """
    entry, summary = item
    kept: Path | bytes = entry.image
    sha256 = summary.image.sha256 if summary.image is not None else ""
    if summary.turned:
        pixels = np.asarray(upright(entry.image))
        kept, sha256 = encode_png(pixels), hashlib.sha256(pixels.tobytes()).hexdigest()
    elif as_bytes:
        kept = entry.image.read_bytes()
    elif raw is not None:
        kept = raw / f"{entry.image_id}.{sha256[:8]}{entry.image.suffix.lower()}"
        keep_copy(entry.image, kept, sha256)
    reading = read_labels(entry, scheme, summary.size)
    refuse_all(entry.image, reading.problems)
    if as_masks:
        return mask_record(entry.image_id, kept, sha256, "all", reading.masks)
    return label_record(entry.image_id, kept, sha256, "all", flat(reading))
