"""Chest X-rays of Shenzhen and Montgomery County with the outlines of their lungs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BaseBuilder, BuilderOptions, Content, Splits, Workspace
from datasets_prep.datasets.crossdomain.test_set import differing, kept_paths, one_fold
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.runtime.parallel import ordered_results

# Help texts import this module; what decodes images waits inside `build`.
if TYPE_CHECKING:
    from datasets_prep.datasets.crossdomain.labelled import Item

CLASSES = ("lung",)

_SHENZHEN, _MONTGOMERY = "CHNCXR", "MCUCXR"
_MASK = "_mask.png"

Subset = Literal["patnet", "all"]
Pictured = tuple[Path, tuple[Path, ...]]  # an image and its masks


@dataclass(frozen=True)
class Release:
    """The files that the dataset is made from, and how many images each subset has."""

    kaggle: SourceFile
    montgomery: SourceFile
    counts: Mapping[Subset, int] = field(default_factory=dict)


NLM = Release(
    kaggle=SourceFile(
        name="chest-xray-masks-and-labels.zip",
        extracted_size=10_500_000_000,
        page="https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels",
        note="about 10.3 GB; a browser calls it archive.zip: rename it. It unpacks to "
        "'Lung Segmentation' with CXR_png and masks, which serves as well",
        folder="Lung Segmentation",
    ),
    montgomery=SourceFile(
        name="NLM-MontgomeryCXRSet.zip",
        urls=("https://openi.nlm.nih.gov/imgs/collections/NLM-MontgomeryCXRSet.zip",),
        sha256="54601e952315d8f67383e9202a6e145997ade429f54f7e0af44b4e158714f424",
        extracted_size=700_000_000,
        page="https://openi.nlm.nih.gov",
        note="it unpacks to MontgomerySet, which serves as well",
        folder="MontgomerySet",
    ),
    counts={"patnet": 566, "all": 704},
)


class ChestXrayOptions(BuilderOptions):
    """Which images, and where Montgomery's come from."""

    subset: Subset = Field(
        default="patnet",
        description="patnet: Shenzhen's images alone, which is what PATNet's loader can read; "
        "all: Montgomery's too, as INSID3 has it.",
    )
    montgomery: Literal["kaggle", "nlm"] = Field(
        default="kaggle",
        description="Where Montgomery's images come from: the Kaggle archive, or the NLM's own, "
        "whose masks of the left and the right lung are joined.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.montgomery == "nlm" and self.subset != "all":
            raise ValueError("--montgomery nlm needs --subset all: patnet leaves Montgomery out")
        return self


class ChestXray(BaseBuilder[ChestXrayOptions, Release]):
    """Chest X-rays: 566 images of Shenzhen, or 704 with Montgomery's, one class."""

    name: ClassVar[str] = "chestxray"
    summary: ClassVar[str] = "chest X-rays of Shenzhen and Montgomery: lungs, one test fold"
    official: ClassVar[Release] = NLM
    Options: ClassVar[type[BuilderOptions]] = ChestXrayOptions

    def sources(self) -> Sequence[SourceFile]:
        """The Kaggle archive, and the NLM's if it is asked for."""
        nlm = self.options.montgomery == "nlm"
        return (self.release.kaggle, *((self.release.montgomery,) if nlm else ()))

    def disk_needed(self) -> int:
        """Label maps and the image table, about."""
        return 100_000_000

    def build(self, workspace: Workspace) -> Content:
        """Check every image and mask; see `Builder.build`.

        Raises:
            DatasetError: naming every file that is missing or wrong.
        """
        from datasets_prep.datasets.crossdomain.labelled import binary_record

        items = self._items(workspace)

        def folds(areas: Areas, splits: Splits) -> FoldSet:
            published = self.release.counts.get(self.options.subset)
            counts = {} if published is None else {"images with lungs": published}
            ours = {"images with lungs": sum(bool(held) for held in areas.values())}
            return one_fold(1, areas, notes=differing(ours, counts, workspace.progress))

        return Content(
            classes=CLASSES,
            images=ordered_results(binary_record, items, workspace.jobs, workspace.faults),
            folds=folds,
            count=len(items),
        )

    def _items(self, workspace: Workspace) -> "list[Item]":
        from datasets_prep.datasets.crossdomain.labelled import Item

        nlm, every = self.options.montgomery == "nlm", self.options.subset == "all"
        kaggle = workspace.unpacked(self.release.kaggle)
        pairs = kaggle_pairs(kaggle, montgomery=every and not nlm, faults=workspace.faults)
        if nlm:
            pairs += montgomery_pairs(workspace.unpacked(self.release.montgomery))
        pairs = workspace.faults.once(pairs, lambda pair: pair[0].stem, lambda pair: pair[0])
        missing = [
            Fault(image.stem, str(path))
            for image, masks in pairs
            for path in (image, *masks)
            if not path.is_file()
        ]
        workspace.faults.settle(
            "these files are missing:", missing, [image.stem for image, _ in pairs]
        )
        pairs = [pair for pair in pairs if pair[0].stem not in workspace.faults.left_out]
        kept = kept_paths(workspace, (image for image, _ in pairs))
        return [Item(image.stem, image, kept[image], masks) for image, masks in pairs]


def kaggle_pairs(folder: Path, *, montgomery: bool, faults: Faults | None = None) -> list[Pictured]:
    """Images of the Kaggle archive with their masks, in the order of the masks' names.

    Source: slei109/PATNet, data/lung.py: an image's name is its mask's without the last nine
    characters, `_mask.png`. Montgomery's masks are called as their images, so that this rule
    finds nothing for them; visinf/INSID3, datasets/lung.py, takes their names as they are.

    Args:
        folder: with `CXR_png` and `masks`.
        montgomery: whether Montgomery's images are wanted.
        faults: judges masks of unknown origin.

    Raises:
        DatasetError: if there are no masks, or one of unknown origin.
    """
    images, masks = folder / "CXR_png", sorted((folder / "masks").glob("*.png"))
    if not masks:
        raise DatasetError(f"{folder / 'masks'} holds no .png files; is it another archive?")
    pairs: list[Pictured] = []
    strange = []
    for mask in masks:
        if mask.name.startswith(_SHENZHEN) and mask.name.endswith(_MASK):
            pairs.append((images / (mask.name[: -len(_MASK)] + ".png"), (mask,)))
        elif not mask.name.startswith(_MONTGOMERY):
            strange.append(Fault(f"masks/{mask.name}", str(mask)))
        elif montgomery:
            pairs.append((images / mask.name.replace(_MASK, ".png"), (mask,)))
    (faults or Faults()).settle(
        "these masks are neither Shenzhen's nor Montgomery's:",
        strange,
        [image.stem for image, _ in pairs],
    )
    return pairs


def montgomery_pairs(folder: Path) -> list[Pictured]:
    """Images of the NLM's archive, by name, each with the masks of both lungs.

    Args:
        folder: with `CXR_png` and `ManualMask/leftMask` and `rightMask`.

    Raises:
        DatasetError: if there are no images.
    """
    images = sorted((folder / "CXR_png").glob("*.png"))
    if not images:
        raise DatasetError(f"{folder / 'CXR_png'} holds no .png files; is it another archive?")
    sides = [folder / "ManualMask" / side for side in ("leftMask", "rightMask")]
    return [(image, tuple(side / image.name for side in sides)) for image in images]
