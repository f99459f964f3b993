"""DeepGlobe's land cover: crops of satellite tiles with six classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing, one_fold
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.prepared.folds import FoldSet

# In the order of PATNet's class folders 1 to 6.
CLASSES = ("agriculture", "urban", "rangeland", "forest", "water", "barren")
SIDE = 2448
PAPER_CROPS, USERS_CROPS = 5_666, 9_174


@dataclass(frozen=True)
class Release:
    """The archive, the side of its tiles in pixels, and the number of those with a mask."""

    archive: SourceFile
    side: int
    tiles: int


KAGGLE = Release(
    archive=SourceFile(
        name="deepglobe-land-cover-classification-dataset.zip",
        extracted_size=3_000_000_000,
        page="https://www.kaggle.com/datasets/balraj98/deepglobe-land-cover-classification-dataset",
        note="a browser calls it archive.zip: rename it. Of what it unpacks to the folder train, "
        "with *_sat.jpg and *_mask.png, serves as well",
        folder="train",
    ),
    side=SIDE,
    tiles=803,
)


class DeepGlobe(BaseBuilder[BuilderOptions, Release]):
    """DeepGlobe land cover: crops of 408×408 of 803 labelled tiles, six classes."""

    name: ClassVar[str] = "deepglobe"
    summary: ClassVar[str] = "DeepGlobe land cover: satellite crops of 6 classes, one test fold"
    official: ClassVar[Release] = KAGGLE

    def sources(self) -> Sequence[SourceFile]:
        """The archive."""
        return (self.release.archive,)

    def disk_needed(self) -> int:
        """The crops, kept without loss in the image table, twice while it is written, about."""
        return 7_000_000_000

    def build(self, workspace: Workspace) -> Content:
        """Cut every tile and keep the crops that the rule keeps; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.crossdomain.crops import records

        tiles = find_tiles(workspace.unpacked(self.release.archive), workspace.faults)
        return Content(
            classes=CLASSES,
            images=records(tiles, self.release.side, workspace.jobs, workspace.faults),
            folds=partial(self._folds, workspace, len(tiles)),
        )

    def _folds(self, workspace: Workspace, tiles: int, areas: Areas, splits: Splits) -> FoldSet:
        counted = differing(
            {"labelled tiles": tiles}, {"labelled tiles": self.release.tiles}, workspace.progress
        )
        crops = (
            f"{len(areas):,} crops are kept; the paper has {PAPER_CROPS:,}, and a user who "
            f"followed its published steps got {USERS_CROPS:,}"
        )
        workspace.progress.note(crops)
        return one_fold(len(CLASSES), areas, notes=(*counted, crops))


def find_tiles(folder: Path, faults: Faults | None = None) -> list[tuple[str, Path, Path]]:
    """Number, image and mask of every labelled tile, in the order of their crops' names.

    Raises:
        DatasetError: naming masks without images, or if there are no masks.
    """
    masks = {path.name.removesuffix("_mask.png"): path for path in folder.glob("*_mask.png")}
    if not masks:
        raise DatasetError(f"{folder} holds no *_mask.png; is it DeepGlobe's folder train?")
    # A crop is called TILE_RC, so 8554_00 comes before 855_00.
    tiles = [
        (name, folder / f"{name}_sat.jpg", masks[name])
        for name in sorted(masks, key=lambda name: f"{name}_")
    ]
    missing = [Fault(name, str(image)) for name, image, _ in tiles if not image.is_file()]
    faults = Faults() if faults is None else faults
    faults.settle("these files are missing:", missing, masks)
    return [tile for tile in tiles if tile[0] not in faults.left_out]
