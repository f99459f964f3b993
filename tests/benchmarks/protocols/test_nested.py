"""Protocols that say that their lists are nested over shots, and those that do not."""

from itertools import pairwise

import pytest

from benchmarks.protocols.catalog import PROTOCOLS, get_protocol
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.recipes import recipes
from datasets_prep.prepared.folds import FoldSet, split

SHOTS = (1, 2, 5)


def crowd(classes: int = 6, images: int = 90) -> EpisodePool:
    """Images of five groups; each holds a class, and every other one two."""
    held = {
        f"g{number % 5}_{number:02d}": (number % classes, number // classes % classes)
        for number in range(images)
    }
    present = {image: tuple(sorted({*own})) for image, own in held.items()}
    pairs = [(image, index) for image, own in present.items() for index in own]
    folds = FoldSet(split([tuple(range(classes))], [], pairs), group="^(g[0-9])_")
    return EpisodePool("crowd", folds, folds.fold(0), present)


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "supports-v1"])
def test_a_protocol_is_nested_if_and_only_if_it_says_so(name: str) -> None:
    protocol = PROTOCOLS[name]
    lists = [recipes()[protocol.recipe](crowd(), shots) for shots in SHOTS]
    nested = all(
        (one.query, one.class_index, one.supports)
        == (many.query, many.class_index, many.supports[: len(one.supports)])
        for fewer, more in pairwise(lists)
        for one, many in zip(fewer, more, strict=True)
    )
    assert nested is protocol.nested


def test_a_prompt_leaves_the_lists_as_they_are() -> None:
    assert get_protocol("fixed-v1+point").nested and not get_protocol("hsnet+box").nested
