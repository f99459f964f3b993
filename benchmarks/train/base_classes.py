"""A fold's training list, by class: base classes alone, and some of it held out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchError
from datasets_prep.prepared.folds import FoldSet, Pair

_HELD_OUT = 20


@dataclass(frozen=True)
class BaseImages:
    """Images of the base classes that can make a pair.

    Attributes:
        images: of each class, in the list's order; of two groups at least.
        group: of each image: its video or patient, or itself where the dataset names none.
    """

    images: Mapping[int, tuple[str, ...]]
    group: Mapping[str, str]


def base_images(folds: FoldSet, fold: int, held_out: bool, names: Sequence[str] = ()) -> BaseImages:
    """A fold's training list without what is held out, or that alone.

    Every twentieth group is held out, whole, so that no video is both trained and validated on;
    where that leaves no class a pair, as in FSS-1000 with its ten images a class, every twentieth
    class is. Messages call classes by `names`, those of the dataset.

    Raises:
        BenchError: if the list names a class that is not a base class of the fold, or no class
            has two images to train on.
    """
    chosen = folds.fold(fold)
    group = {image: folds.group_of(image) for image, _ in chosen.train}
    kept_back = _kept_back(chosen.train, group)
    images: dict[int, list[str]] = {}
    for image, index in chosen.train:
        if index not in chosen.base or index in chosen.novel:
            name = dict(enumerate(names)).get(index, index)
            raise BenchError(
                f"fold {fold}: the training list has image {image} for class {name!r}, which "
                "is not a base class; mend folds.json: prepare the dataset again"
            )
        if (group[image] in kept_back) == held_out:
            images.setdefault(index, []).append(image)
    able = {
        index: tuple(images[index]) for index in sorted(images) if _makes_pair(images[index], group)
    }
    if not able and not held_out:
        raise BenchError(f"fold {fold}: no base class has two training images to make a pair")
    return BaseImages(able, group)


def _kept_back(train: Sequence[Pair], group: Mapping[str, str]) -> set[str]:
    """The groups that are held out."""
    few = set(sorted(set(group.values()))[::_HELD_OUT])
    images: dict[int, list[str]] = {}
    for image, index in train:
        images.setdefault(index, []).append(image)
    paired = (_makes_pair([i for i in own if group[i] in few], group) for own in images.values())
    if len(images) < _HELD_OUT or any(paired):
        return few
    return {group[image] for index in sorted(images)[::_HELD_OUT] for image in images[index]}


def _makes_pair(images: Iterable[str], group: Mapping[str, str]) -> bool:
    """Whether some of the images are of two groups."""
    return len({group[image] for image in images}) > 1
