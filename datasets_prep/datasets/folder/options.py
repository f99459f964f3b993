"""The options of `bench prepare folder`, checked as far as they can be without looking at files."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from datasets_prep.builder import BuilderOptions
from datasets_prep.catalog import DATASETS, GROUPS


class FolderOptions(BuilderOptions):
    """How to read the folder, and how to split its classes."""

    folder: Path = Field(
        description="Folder with images/ and labels/, or images/ and masks/CLASS/; with --coco or "
        "--labelme, with images.",
        json_schema_extra={"argument": True},
    )
    name: str = Field(description="Name under which the dataset is stored.")
    classes: tuple[str, ...] = Field(
        (),
        description="Class names in the order of the label values; unless given, what a "
        "labelmap.txt, classes.txt, data.yaml or dataset.json beside the images says, and for "
        "masks/ all, sorted.",
    )
    ignore: tuple[int, ...] | None = Field(
        None,
        description="Values to ignore in label files; for labels/ 255 unless given; or none. A "
        "pixel that one of masks/ ignores and another marks is the latter's, and no other's.",
    )
    background: bool = Field(
        True, description="Label 0 is background and classes count from 1, else from 0."
    )
    folds: int = Field(4, ge=1, description="Number of folds; each takes neighbouring classes.")
    folds_file: Path | None = Field(
        None, description="YAML file instead of --folds: {folds: [[cat, dog], [car, bus]]}."
    )
    group: str | None = Field(
        None,
        description="Regular expression whose first group names an image's video, patient or "
        "scene; no episode has query and support of one.",
    )
    min_area: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Share of an image that a class must cover to be asked for in it; less "
        "stays labelled.",
    )

    min_images: int = Field(
        0,
        ge=0,
        description="Leave classes with fewer images out of the lists.  [default: as many as a "
        "list's shots need]",
    )
    without: tuple[str, ...] = Field(
        (), description="Classes to leave out of all lists on purpose; they stay labelled."
    )

    exif: Literal["turn", "ignore"] | None = Field(
        None,
        description="Whether labels were painted on images as their EXIF orientation turns them; "
        "asked for where sizes do not tell.",
    )
    copies: Literal["apart", "pair"] = Field(
        "apart", description="Whether fixed-v1 may pair copies of one image under several names."
    )
    threshold: int | None = Field(
        None, ge=1, le=65535, description="Least value of foreground, for masks with soft edges."
    )
    colors: Path | None = Field(
        None,
        description="What the colours of labels/ mean: labelmap.txt, label_colors.txt, JSON, "
        "Cityscapes' labels.py, or a PNG whose palette counts with --classes.",
    )
    by_index: bool = Field(
        False, description="Read palette labels by index though their palettes differ."
    )
    coco: Path | None = Field(
        None,
        description="COCO JSON with classes and outlines, as CVAT, Label Studio and Roboflow "
        "export it, instead of labels/ and masks/; images without annotations are left out.",
    )
    labelme: bool = Field(
        False, description="Outlines are in LabelMe's JSON, NAME.json beside each image."
    )
    mask_suffix: str = Field(
        "", description="What names of labels or masks have after the image's: _mask."
    )

    @field_validator("ignore", mode="before")
    @classmethod
    def _none(cls, ignore: object) -> object:
        return () if ignore in (("none",), ["none"]) else ignore

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} is no name: letters, digits, `.`, `-` and `_` only")
        if name.removesuffix("-partial") in DATASETS or name in GROUPS:
            raise ValueError(f"{name!r} is a name that the suite uses itself; choose another")
        return name

    @field_validator("classes")
    @classmethod
    def _classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in classes if classes.count(name) > 1 or not name.strip()]:
            raise ValueError(f"empty or given twice: {', '.join(map(repr, dict.fromkeys(wrong)))}")
        return classes

    @field_validator("ignore")
    @classmethod
    def _ignore(cls, ignore: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if wrong := [value for value in ignore or () if not 0 <= value < 1 << 16]:
            raise ValueError(f"{wrong[0]} is outside 0..65535")
        return ignore

    @field_validator("group")
    @classmethod
    def _group(cls, group: str | None) -> str | None:
        try:
            groups = re.compile(group or "()").groups
        except re.error as error:
            raise ValueError(f"{group!r} is no regular expression: {error}") from None
        if not groups:
            raise ValueError(f"{group!r} has no group: put parentheses round what names the group")
        return group

    @model_validator(mode="after")
    def _one_way(self) -> "FolderOptions":
        if self.folds_file is not None and "folds" in self.model_fields_set:
            raise ValueError("give --folds or --folds-file, not both")
        if self.coco is not None and self.labelme:
            raise ValueError("give --coco or --labelme, not both")
        return self
