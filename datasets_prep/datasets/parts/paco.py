"""PACO-Part: parts of everyday objects in COCO's images, cropped as in Matcher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from datasets_prep.archives.hosts import COCO, COCO_2017, on_drive
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.walk import files_below

# Help texts import this module; what decodes images waits inside `build`.
if TYPE_CHECKING:
    from datasets_prep.datasets.parts.sheet import Sheet

ClassRule = Literal["per-shot", "fixed"]

_TRAINED, _TESTED = "object parts in the training images", "object parts tested with one shot"


@dataclass(frozen=True)
class Release:
    """The files that the dataset is made from, and the published counts that it should meet.

    Attributes:
        annotations: PACO-LVIS's archive.
        pickles: Matcher's archive.
        images: COCO's archives, by the folder of their images.
        single: address of the server's folders, in which every image can be had by itself.
        counts: what is counted, and how many there are.
        episodes: the published number a fold, at most.
    """

    annotations: SourceFile
    pickles: SourceFile
    images: Mapping[str, SourceFile]
    single: str
    counts: Mapping[str, int] = field(default_factory=dict)
    episodes: int = 2500


PACO_PART = Release(
    annotations=SourceFile(
        name="paco_lvis_v1.zip",
        urls=("https://dl.fbaipublicfiles.com/paco/annotations/paco_lvis_v1.zip",),
        sha256="02ac4edb22c251e07853e6231d69aec3fad0a180f03de2f8c880650322debc80",
        extracted_size=700_000_000,
        page="https://github.com/facebookresearch/paco",
        note="about 129 MB; a folder paco_lvis_v1 with its files serves as well",
    ),
    pickles=on_drive(
        "paco.zip",
        "1VEXgHlYmPVMTVYd8RkT6-l8GGq0G9vHX",
        extracted_size=1_000_000_000,
        note="no hash is published; a folder paco with paco_part_train.pkl and paco_part_val.pkl "
        "serves as well",
    ),
    images=COCO_2017,
    single=COCO,
    counts={_TRAINED: 448, _TESTED: 303},
)  # fmt: skip


class PacoPartOptions(BuilderOptions):
    """Where parts, lists and images are from, and which classes are tested."""

    lists: Literal["derived", "published"] = Field(
        default="derived",
        description="List the classes and images of PACO-LVIS anew, or take Matcher's files, "
        "paco.zip.",
    )
    images: Literal["single", "archive"] = Field(
        default="single",
        description="Fetch the test images one by one, some 0.4 GB, or take them from COCO's "
        "archives, 19 GB and more.",
    )
    classes: ClassRule = Field(
        default="per-shot",
        description="Which classes are tested: those with more images than an episode has "
        "supports, others for every number of shots (Matcher), or those with more than five "
        "images, the same whatever the shots.",
    )
    least_area: int = Field(
        default=0,
        ge=0,
        description="Leave out parts of fewer pixels; of PACO-LVIS's own files only.",
    )


class PacoPart(BaseBuilder[PacoPartOptions, Release]):
    """PACO-Part: some 300 classes of parts in four folds, the test side alone."""

    name: ClassVar[str] = "paco-part"
    summary: ClassVar[str] = "PACO-Part: some 300 parts of objects in COCO's images, 4 test folds"
    official: ClassVar[Release] = PACO_PART
    Options: ClassVar[type[BuilderOptions]] = PacoPartOptions

    @property
    def _annotations(self) -> SourceFile:
        derived = self.options.lists == "derived"
        return self.release.annotations if derived else self.release.pickles

    def sources(self) -> Sequence[SourceFile]:
        """The annotations, and the archives of images that the options ask for."""
        if self.options.images == "single":
            return (self._annotations,)
        # PACO's val images are all of train2017; where Matcher's are from, its files tell.
        folders = ("train2017",) if self.options.lists == "derived" else tuple(self.release.images)
        return (self._annotations, *(self.release.images[folder] for folder in folders))

    def describe(self) -> Mapping[str, object]:
        """The options; where the images come from does not change them."""
        return self.options.model_dump(exclude={"images"})

    def disk_needed(self) -> int:
        """Crops, which are kept without loss in the image table, twice while it is written."""
        return 2_000_000_000 + (400_000_000 if self.options.images == "single" else 0)

    def build(self, workspace: Workspace) -> Content:
        """Cut the objects out of the test images; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.parts.paco_lists import (
            FIXED_LEAST,
            crops_of,
            make_folds,
            records,
        )

        sheet = self._sheet(workspace)
        folders = self._folders(workspace, sheet)

        def folds(areas: Areas, _: Splits) -> FoldSet:
            crops = crops_of(sheet, areas, workspace.faults.left_out)
            least = FIXED_LEAST if self.options.classes == "fixed" else None
            made = make_folds(
                crops,
                areas,
                len(sheet.classes),
                self.options.lists,
                least,
                workspace.shots,
                self.release.episodes,
            )
            ours = {
                _TRAINED: len(sheet.classes),
                _TESTED: sum(len(images) > 1 for images in crops.values()),
            }
            return replace(made, notes=differing(ours, self.release.counts, workspace.progress))

        return Content(
            classes=sheet.classes,
            images=records(sheet, folders, workspace),
            folds=folds,
        )

    def _sheet(self, workspace: Workspace) -> "Sheet":
        from datasets_prep.datasets.parts.paco_files import read_pickles, read_release

        folder = workspace.unpacked(self._annotations)
        if self.options.lists == "published":
            files = (_inside(folder, f"paco_part_{part}.pkl") for part in ("train", "val"))
            return read_pickles(*files)
        train, val = (_inside(folder, f"paco_lvis_v1_{part}.json") for part in ("train", "val"))
        return read_release(
            train, val, self.options.least_area, workspace.faults, workspace.progress
        )

    def _folders(self, workspace: Workspace, sheet: "Sheet") -> dict[str, Path]:
        """Where the images of each of COCO's folders lie, fetched if need be."""
        from datasets_prep.datasets.coco.fetch import fetch_images

        release, folders = self.release, {}
        named = sorted({file.partition("/")[0] for file in sheet.files.values()})
        for folder in named:
            if self.options.images == "archive":
                source = release.images[folder]
                if source not in self.sources():
                    raise DatasetError(f"the annotations name images of {folder}, not of train2017")
                folders[folder] = workspace.unpacked(source)
                continue
            folders[folder] = workspace.raw / f"{folder}-single"
            names = [Path(f).name for f in sheet.files.values() if f.startswith(f"{folder}/")]
            address, instead = f"{release.single}/{folder}", "the archives with --images archive"
            fetch_images(names, folders[folder], address, workspace.progress, instead=instead)
        return folders


def _inside(folder: Path, name: str) -> Path:
    """A file of an archive, however deep it is."""
    found = sorted(path for path in files_below(folder) if path.name == name)
    if not found:
        raise DatasetError(f"{folder} holds no {name}: is it another file?")
    return found[0]
