"""Folds of crops: the pairs to test, and the images whose objects the published sampler draws."""

from collections.abc import Mapping, Sequence

from datasets_prep.builder import Areas
from datasets_prep.datasets.parts.cut import GROUP
from datasets_prep.prepared.folds import Crops, Fold, FoldSet, Pair, QueryOrder

# By class, in the order of the fold, the crops of each image.
Drawn = Mapping[int, Crops]


def part_folds(
    drawn: Sequence[Drawn],
    areas: Areas,
    *,
    query_order: QueryOrder,
    episodes: int,
    lists: str,
) -> FoldSet:
    """Test folds whose novel classes are those that are drawn, in that order.

    Pairs are class by class, each crop once where it shows its class. There is nothing to train on.

    Args:
        drawn: by fold.
        areas: pixels of each class, by crop.
        query_order: as for `FoldSet`.
        episodes: the published number a fold, at most.
        lists: where the lists are from.
    """
    every = [index for classes in drawn for index in classes]
    folds = tuple(
        Fold(
            index=number,
            base=tuple(sorted(index for index in every if index not in classes)),
            novel=tuple(classes),
            train=(),
            test=tuple(
                pair for index, crops in classes.items() for pair in pairs(index, crops, areas)
            ),
            crops=classes,
        )
        for number, classes in enumerate(drawn)
    )
    return FoldSet(
        folds=folds,
        query_order=query_order,
        published_episodes=episodes,
        group=GROUP,
        lists=lists,
    )


def pairs(index: int, crops: Crops, areas: Areas) -> list[Pair]:
    """The crops in which the class has a pixel, each once."""
    found = dict.fromkeys(crop for image in crops for crop in image if crop is not None)
    return [(crop, index) for crop in found if index in areas[crop]]
