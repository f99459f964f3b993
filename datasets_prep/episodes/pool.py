"""What a recipe may draw from, and what it is: the test side of one fold, made into a list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold, FoldSet


@dataclass(frozen=True)
class EpisodePool:
    """What a recipe may draw from: the test side of one fold.

    `present` maps each test image to the novel classes that its label map holds, however small;
    None where only list files are at hand. `classes` are names by class index, for messages.
    """

    dataset: str
    folds: FoldSet
    fold: Fold
    present: Mapping[str, tuple[int, ...]] | None = None
    classes: Mapping[int, str] = field(default_factory=dict)
    _groups: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def named(self, class_index: int) -> str:
        """A class for a message: by name, or by number where nothing tells its name."""
        known = class_index in self.classes
        return f"class {self.classes[class_index]!r}" if known else f"class {class_index}"

    def related(self, a: str, b: str) -> bool:
        """True for one image, or two of one video, patient or scene."""
        return a == b or (self.folds.group is not None and self._group(a) == self._group(b))

    def _group(self, image: str) -> str:
        if image not in self._groups:
            self._groups[image] = self.folds.group_of(image)
        return self._groups[image]

    def images(self, class_index: int) -> tuple[str, ...]:
        """Test images of a novel class, in published order."""
        return self.fold.images_of[class_index]

    def check(self, shots: int, *, distinct: bool) -> None:
        """Refuse a pool in which some (image, class) has too few possible supports.

        Raises:
            DatasetError: naming the first class and image that cannot be drawn for.
        """
        where = f"{self.dataset} fold {self.fold.index}"
        if not self.fold.novel:
            raise DatasetError(f"{where}: no class has images enough for {shots}-shot episodes")
        needed = shots if distinct else 1
        for class_index in self.fold.novel:
            images = self.images(class_index)
            if not images:
                raise DatasetError(f"{where}: {self.named(class_index)} has no test image")
            sizes: dict[str, int] = {}
            for image in images:
                group = self._group(image)
                sizes[group] = sizes.get(group, 0) + 1
            worst = max(sizes, key=lambda group: sizes[group])
            if len(images) - sizes[worst] < needed:
                raise DatasetError(
                    f"{where}: {self.named(class_index)} has "
                    f"{len(images)} test images, {sizes[worst]} of them related to {worst!r}: "
                    f"too few for {shots}-shot episodes"
                )


class Recipe(Protocol):
    """Draws one list: deterministic in its arguments alone."""

    def __call__(self, pool: EpisodePool, shots: int) -> list[Episode]:
        """The episodes of `pool` with `shots` supports each.

        Raises:
            DatasetError: if the pool cannot give them.
        """
