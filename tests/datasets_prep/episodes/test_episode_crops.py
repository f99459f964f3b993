from pathlib import Path
from typing import Any

import pytest
from numpy.random import RandomState

from datasets_prep.episodes import hsnet
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Crops, Fold, FoldSet, QueryOrder, read_folds, to_json

GROUP = "^([^/]+)/"


def images(class_index: int, count: int) -> Crops:
    """Images of one to three objects each, some of which have no crop of the class."""
    return tuple(
        tuple(None if (i + o) % 5 == 4 else f"i{i + 7 * class_index}/{o}" for o in range(1 + i % 3))
        for i in range(count)
    )


def pool(crops: dict[int, Crops], order: QueryOrder, episodes: int | None = None) -> EpisodePool:
    test = tuple((c, n) for n, found in crops.items() for image in found for c in image if c)
    fold = Fold(0, (), tuple(crops), (), test, crops=crops)
    folds = FoldSet((fold,), order, published_episodes=episodes, group=GROUP)
    return EpisodePool("toy", folds, fold)


def named(crops: Crops) -> list[dict[str, Any]]:
    """As annotation files have them: an image with its objects, of which some lack the part."""
    found = [{"objects": [{"crop": crop} for crop in image]} for image in crops]
    return [{"id": number, **image} for number, image in enumerate(found)]


def pascal_part_words(crops: dict[int, Crops], shots: int, count: int) -> list[Episode]:
    """The loops of Matcher's pascal_part.py, over lists of dicts."""
    random, episodes = RandomState(0), []
    for number in range(count):
        index = list(crops)[number % len(crops)]
        listed = named(crops[index])
        while True:
            query = random.choice(listed, 1, replace=False)[0]
            query_object = random.choice(query["objects"], 1, replace=False)[0]
            if query_object["crop"] is not None:
                break
        ids: list[int] = []
        supports: list[str] = []
        while True:
            support = random.choice(listed, 1, replace=False)[0]
            if support["id"] == query["id"] or support["id"] in ids:
                continue
            chosen = random.choice(support["objects"], 1, replace=False)[0]
            if chosen["crop"] is None:
                continue
            ids.append(support["id"])
            supports.append(chosen["crop"])
            if len(ids) == shots:
                break
        episodes.append(Episode(number, index, query_object["crop"], tuple(supports)))
    return episodes


def paco_part_words(crops: dict[int, Crops], shots: int, count: int) -> list[Episode]:
    """The loops of paco_part.py, with INSID3's way round objects without a crop."""
    random, episodes = RandomState(0), []
    while len(episodes) < count:
        index = int(random.choice(list(crops), 1, replace=False)[0])
        listed = named(crops[index])
        query = random.choice(listed, 1, replace=False)[0]
        drawn = [random.choice(query["objects"], 1, replace=False)[0]["crop"]]
        while True:
            support = random.choice(listed, 1, replace=False)[0]
            if support["id"] != query["id"]:
                drawn.append(random.choice(support["objects"], 1, replace=False)[0]["crop"])
            if len(drawn) == shots + 1:
                break
        if None not in drawn:
            episodes.append(Episode(len(episodes), index, drawn[0], tuple(drawn[1:])))
    return episodes


@pytest.mark.parametrize("shots", [1, 5])
def test_classes_in_turn_are_drawn_as_in_pascal_part(shots: int) -> None:
    crops = {3: images(3, 40), 5: images(5, 12), 1: images(1, 23)}
    drawn = hsnet.draw(pool(crops, "cycle"), shots)
    assert drawn == pascal_part_words(crops, shots, 75)
    for episode in drawn:
        names = [crop.split("/")[0] for crop in (episode.query, *episode.supports)]
        assert len(set(names)) == shots + 1


def test_no_more_episodes_than_published_are_drawn_in_turn() -> None:
    assert len(hsnet.draw(pool({0: images(0, 40)}, "cycle", 25), 1)) == 25


@pytest.mark.parametrize("shots", [1, 5])
def test_classes_are_drawn_as_in_paco_part(shots: int) -> None:
    crops = {3: images(3, 40), 5: images(5, 4), 1: images(1, 23)}
    drawn = hsnet.draw(pool(crops, "draw", 300), shots)
    assert drawn == paco_part_words(crops, shots, 300)
    assert {e.class_index for e in drawn} == {1, 3, 5}
    assert shots == 1 or any(len(set(e.supports)) < shots for e in drawn)


def test_what_cannot_be_drawn_is_named() -> None:
    few = pool({0: images(0, 9), 4: (("a/0",), (None,), ("b/0",))}, "cycle")
    with pytest.raises(DatasetError, match="class 4 has crops of 2 images, too few"):
        hsnet.draw(few, 2)
    with pytest.raises(DatasetError, match="class 0 has crops of 1 images, too few"):
        hsnet.draw(pool({0: (("a/0",), (None,))}, "draw"), 1)


def test_crops_are_kept_in_the_fold_file(tmp_path: Path) -> None:
    folds = pool({0: images(0, 5), 2: (("a/0", None),)}, "draw").folds
    (tmp_path / "folds.json").write_text(to_json(folds))
    assert read_folds(tmp_path / "folds.json") == folds
    assert "crops" not in to_json(FoldSet((Fold(0, (), (), (), ()),)))
