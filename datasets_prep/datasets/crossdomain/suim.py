"""SUIM: underwater scenes with seven classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing, kept_paths, one_fold
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.parallel import ordered_results

_PAGE = "https://irvlab.cs.umn.edu/resources/suim-dataset"
_NOTE = (
    "the page links to folders on Google Drive; pack {0} as {0}.zip, or give the folder, "
    "with images and masks in it, as it is"
)


@dataclass(frozen=True)
class Release:
    """The two parts of the dataset, and how much they hold together."""

    train_val: SourceFile
    test: SourceFile
    counts: Mapping[str, int] = field(default_factory=dict)


OFFICIAL = Release(
    train_val=SourceFile(
        name="train_val.zip", page=_PAGE, note=_NOTE.format("train_val"), folder="train_val"
    ),
    test=SourceFile(name="TEST.zip", page=_PAGE, note=_NOTE.format("TEST"), folder="TEST"),
    counts={"images": 1_635, "masks that are not empty": 3_859},
)


class Suim(BaseBuilder[BuilderOptions, Release]):
    """SUIM: 1,635 underwater images, both published parts together, seven classes."""

    name: ClassVar[str] = "suim"
    summary: ClassVar[str] = "SUIM: underwater scenes of 7 classes, one test fold"
    official: ClassVar[Release] = OFFICIAL

    def sources(self) -> Sequence[SourceFile]:
        """The two parts."""
        return (self.release.train_val, self.release.test)

    def disk_needed(self) -> int:
        """Label maps and the image table, about."""
        return 50_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check every image and mask; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.crossdomain.suim_masks import (
            CLASSES,
            Item,
            make_record,
            other_sizes,
        )

        folders = [workspace.unpacked(source) for source in self.sources()]
        images = find_images(folders, workspace.faults)
        kept = kept_paths(workspace, images)
        items = [Item(i.stem, i, kept[i], mask) for i, mask in images.items()]
        scaled = other_sizes(items)

        def folds(areas: Areas, splits: Splits) -> FoldSet:
            ours = {
                "images": len(areas),
                "masks that are not empty": sum(len(held) for held in areas.values()),
            }
            notes = differing(ours, self.release.counts, workspace.progress)
            return one_fold(len(CLASSES), areas, episodes=None, notes=notes)

        return Content(
            classes=CLASSES,
            images=ordered_results(make_record, items, workspace.jobs, workspace.faults),
            folds=folds,
            count=len(items),
            notes=(f"masks scaled to their images' size: {', '.join(scaled)}",) if scaled else (),
        )


def find_images(folders: Sequence[Path], faults: Faults | None = None) -> dict[Path, Path]:
    """Every image with its mask, by name, whatever part it is from.

    Args:
        folders: each with `images/*.jpg` and `masks/*.bmp`, or with a folder of its own name
            that has them, as some copies do.
        faults: judges images without masks, masks without images, and repeated names.

    Raises:
        DatasetError: naming all of these.
    """
    faults = Faults() if faults is None else faults
    images, masks = (_by_name(folders, pattern) for pattern in ("images/*.jpg", "masks/*.bmp"))
    wrong = [
        Fault(name, f"{' and '.join(map(str, paths))} have one name")
        for found in (images, masks)
        for name, paths in found.items()
        if len(paths) > 1
    ]
    for found, others, what in ((images, masks, "mask"), (masks, images, "image")):
        missing = sorted(found.keys() - others.keys())
        wrong += [Fault(name, f"{found[name][0]} has no {what}") for name in missing]
    faults.settle("images and masks do not fit:", wrong, images)
    return {
        images[name][0]: masks[name][0] for name in sorted(images) if name not in faults.left_out
    }


def _by_name(folders: Sequence[Path], pattern: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        inner = folder if (folder / "images").is_dir() else folder / folder.name
        paths = sorted(inner.glob(pattern))
        if not paths:
            raise DatasetError(f"there is no {folder / pattern}; is it SUIM's folder?")
        for path in paths:
            found.setdefault(path.stem, []).append(path)
    return found
