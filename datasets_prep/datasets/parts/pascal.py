"""Pascal-Part: parts of VOC 2010's objects, merged and cropped as in Matcher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from datasets_prep.archives.hosts import on_drive
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.walk import files_below

_ROOZBEHM = "http://roozbehm.info/pascal-parts"
_MAT = "Annotations_Part"
_JSON = "Annotations_Part_json_merged_part_classes"
_JSON_LISTS = "all_obj_part_to_image.json"


@dataclass(frozen=True)
class Release:
    """The files that the dataset is made from, and the published counts that it should meet.

    Attributes:
        voc: archive of VOC 2010.
        mat: archive of the original annotations.
        json: Matcher's archive.
        counts: what is counted, and how many there are.
        episodes: the published number a fold, at most.
    """

    voc: SourceFile
    mat: SourceFile
    json: SourceFile
    counts: Mapping[str, int] = field(default_factory=dict)
    episodes: int = 2500


PASCAL_PART = Release(
    voc=SourceFile(
        name="VOCtrainval_03-May-2010.tar",
        urls=("http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",),
        md5="da459979d0c395079b5c75ee67908abb",
        extracted_size=1_400_000_000,
        page="http://host.robots.ox.ac.uk/pascal/VOC/voc2010/",
        note="about 1.35 GB; it unpacks to VOCdevkit/VOC2010, which serves as well",
        folder="VOCdevkit/VOC2010",
    ),
    mat=SourceFile(
        name="trainval.tar.gz",
        urls=(f"{_ROOZBEHM}/trainval.tar.gz",),
        extracted_size=200_000_000,
        page=f"{_ROOZBEHM}/pascal-parts.html",
        note=f"about 78 MB, no hash is published; its folder {_MAT} serves as well",
        folder=_MAT,
    ),
    json=on_drive(
        "pascal.zip",
        "1WaM0VM6I9b3u3v3w-QzFLJI8d3NRumTK",
        extracted_size=500_000_000,
        note=f"no hash is published; its folder {_JSON}, with {_JSON_LISTS} beside it, "
        "serves as well",
        folder=_JSON,
    ),
    # As Matcher's logs have them; where a fold has 2500 episodes, its pairs are at least as many.
    counts={
        "classes of fold 0": 31,
        "classes of fold 1": 4,
        "classes of fold 2": 5,
        "classes of fold 3": 16,
        "pairs of image and class in fold 1": 959,
    },
)  # fmt: skip


class PascalPartOptions(BuilderOptions):
    """Where parts and lists are from."""

    lists: Literal["derived", "published"] = Field(
        default="derived",
        description="Merge the original annotations and list their images anew, or take "
        "Matcher's files, pascal.zip.",
    )


class PascalPart(BaseBuilder[PascalPartOptions, Release]):
    """Pascal-Part: 56 classes of parts in four folds, the test side alone."""

    name: ClassVar[str] = "pascal-part"
    summary: ClassVar[str] = "Pascal-Part: 56 parts of VOC 2010's objects in 4 test folds"
    official: ClassVar[Release] = PASCAL_PART
    Options: ClassVar[type[BuilderOptions]] = PascalPartOptions

    @property
    def _annotations(self) -> SourceFile:
        return self.release.mat if self.options.lists == "derived" else self.release.json

    def sources(self) -> Sequence[SourceFile]:
        """VOC 2010, and the annotations that the options ask for."""
        return (self.release.voc, self._annotations)

    def disk_needed(self) -> int:
        """Crops, which are kept without loss in the image table, twice while it is written."""
        return 3_000_000_000

    def build(self, workspace: Workspace) -> Content:
        """Cut the objects out of the test images; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.parts.pascal_lists import (
            Shown,
            derived,
            make_folds,
            matched,
            plan,
            records,
        )

        voc = workspace.unpacked(self.release.voc)
        folder = self._folder(workspace)
        if self.options.lists == "derived":
            listed = derived(voc, folder, workspace)
        else:
            listed = matched(folder.with_name(_JSON_LISTS))
        classes, items = plan(voc, folder, listed, workspace)
        shown: dict[str, tuple[Shown, ...]] = {}

        def folds(areas: Areas, _: Splits) -> FoldSet:
            made = make_folds(
                self.options.lists, listed, classes, shown, areas, self.release.episodes
            )
            ours = {f"classes of fold {fold.index}": len(fold.novel) for fold in made.folds}
            for fold in made.folds:
                images = sum(map(len, (fold.crops or {}).values()))
                ours[f"pairs of image and class in fold {fold.index}"] = images
            notes = differing(ours, self.release.counts, workspace.progress)
            return replace(made, notes=notes)

        return Content(
            classes=tuple(classes),
            images=records(items, workspace, shown),
            folds=folds,
        )

    def _folder(self, workspace: Workspace) -> Path:
        """The folder of the annotations, however deep its archive has it."""
        source = self._annotations
        root = workspace.unpacked(replace(source, folder=None))
        folders = sorted({folder for path in files_below(root) for folder in path.parents})
        inside = (each for each in folders if each.is_relative_to(root))
        found = next((each for each in inside if each.name == source.folder), None)
        if found is None:
            raise DatasetError(
                f"{workspace.sources[source.name]} holds no folder {source.folder}: "
                "is it another file?"
            )
        return found
